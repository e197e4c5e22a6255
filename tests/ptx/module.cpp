// A module's directives: what stands outside of kernels' bodies. Bodies are only skipped here, and decoded
// when they are first needed: a unit has hundreds of kernels, a program runs a few.
#include <algorithm>
#include <cstring>

#include "ptx/declarations.h"
#include "ptx/program.h"
#include "ptx/text.h"

namespace lacuna::ptx {
namespace {

class Reader {
 public:
  Reader(Module& module) : module_(module), lexer_(module.text, 1, module.name) {}

  void read() {
    while (!lexer_.token().empty()) directive();
  }

 private:
  void directive() {
    bool external = false;
    while (lexer_.at(".visible") || lexer_.at(".extern") || lexer_.at(".weak") ||
           lexer_.at(".common"))
      external |= lexer_.take() == ".extern";
    if (lexer_.at(".version") || lexer_.at(".target") || lexer_.at(".address_size")) {
      lexer_.take();
      do lexer_.take();
      while (lexer_.accept(","));
    } else if (lexer_.at(".file")) {
      file();
    } else if (lexer_.accept(".entry")) {
      entry();
    } else if (lexer_.accept(".shared")) {
      const Declaration d = take_declaration(lexer_);
      module_.shared.emplace(d.name,
                             SharedVariable{d.bytes, d.alignment, external && d.bytes == 0});
    } else if (lexer_.at(".global") || lexer_.at(".const")) {
      variable(lexer_.take() == ".const");
    } else if (lexer_.at(".section")) {
      while (!lexer_.at("{")) lexer_.take();
      lexer_.skip_block();
    } else {
      lexer_.fail("'" + std::string(lexer_.token()) + "' is not implemented outside of kernels");
    }
  }

  void file() {
    lexer_.expect(".file");
    const unsigned number = static_cast<unsigned>(lexer_.take_integer());
    std::string_view path = lexer_.take();
    if (path.size() > 1) path = path.substr(1, path.size() - 2);
    module_.files[number] = path;
    while (lexer_.accept(",")) lexer_.take_integer();
  }

  void variable(bool constant) {
    const Declaration d = take_declaration(lexer_);
    Module::Global global;
    global.bytes = std::max<std::size_t>(d.bytes, 1);
    global.constant = constant;
    global.storage = std::make_unique<std::byte[]>(global.bytes + d.alignment);
    const auto at = reinterpret_cast<std::uintptr_t>(global.storage.get());
    global.data = global.storage.get() + (d.alignment - at % d.alignment) % d.alignment;
    for (std::size_t i = 0; i < d.values.size() && (i + 1) * d.element <= d.bytes; ++i)
      std::memcpy(global.data + i * d.element, &d.values[i], d.element);
    module_.globals.emplace(d.name, std::move(global));
  }

  void entry() {
    auto kernel = std::make_unique<Kernel>();
    const std::string_view name = lexer_.take();
    kernel->facts.name = name;
    kernel->module = &module_;
    if (lexer_.accept("(") && !lexer_.accept(")")) {
      std::size_t offset = 0;
      do {
        lexer_.expect(".param");
        const Declaration d = take_declaration(lexer_, ',');
        offset = (offset + d.alignment - 1) / d.alignment * d.alignment;
        kernel->facts.parameters.push_back({offset, d.bytes, d.alignment});
        offset += d.bytes;
      } while (lexer_.accept(","));
      lexer_.expect(")");
    }
    while (!lexer_.at("{")) {  // performance directives
      const std::string_view what = lexer_.take();
      if (what == ".maxntid" || what == ".reqntid") {
        unsigned most = 1;
        do most *= static_cast<unsigned>(lexer_.take_integer());
        while (lexer_.accept(","));
        kernel->facts.most_threads = most;
      } else if (what == ".minnctapersm" || what == ".maxnreg") {
        lexer_.take_integer();
      } else if (what == ".pragma") {
        lexer_.skip_past(";");
      } else {
        lexer_.fail("'" + std::string(what) + "' is not implemented before a kernel's body");
      }
    }
    kernel->line = lexer_.line();
    const std::size_t begin = lexer_.position();
    lexer_.skip_block();
    kernel->body = std::string_view(module_.text).substr(begin, lexer_.position() - begin);
    module_.kernels.emplace(name, std::move(kernel));
  }

  Module& module_;
  Lexer lexer_;
};

}  // namespace

std::shared_ptr<Module> parse(std::string_view text, std::string name) {
  auto module = std::make_shared<Module>();
  module->name = std::move(name);
  module->text = text;
  Reader(*module).read();
  return module;
}

const Kernel* find(const Module& module, std::string_view mangled_name) {
  const auto found = module.kernels.find(mangled_name);
  return found == module.kernels.end() ? nullptr : found->second.get();
}

std::vector<const Kernel*> kernels(const Module& module) {
  std::vector<const Kernel*> all;
  for (const auto& [name, kernel] : module.kernels) all.push_back(kernel.get());
  std::sort(all.begin(), all.end(),
            [](const Kernel* a, const Kernel* b) { return a->line < b->line; });
  return all;
}

Variable find_variable(const Module& module, std::string_view mangled_name) {
  const auto found = module.globals.find(mangled_name);
  if (found == module.globals.end()) return {};
  return {found->second.data, found->second.bytes};
}

bool Module::owns(std::uintptr_t address, std::size_t bytes, bool write) const {
  for (const auto& [name, global] : globals) {
    const auto begin = reinterpret_cast<std::uintptr_t>(global.data);
    if (address >= begin && address + bytes <= begin + global.bytes)
      return !(write && global.constant);
  }
  return false;
}

const Program& Kernel::program() const {
  const std::lock_guard lock(decoding_);
  if (!program_) {
    program_ = decode(*this);
    facts.static_shared = program_->shared;
    facts.local = program_->local;
  }
  return *program_;
}

const KernelFacts& facts(const Kernel& kernel) {
  kernel.program();
  return kernel.facts;
}

}  // namespace lacuna::ptx
