// Status codes, this thread's last error, and the version.
#include <exception>
#include <new>

#include "host/api/guard.h"
#include "host/backend.h"

namespace lacuna::api {

Message& last_error() {
  thread_local Message message;
  return message;
}

lacuna_status translate_exception() noexcept {
  const auto report = [](lacuna_status status, std::string_view text,
                         std::string_view detail = {}) {
    Message& message = last_error();
    message.clear();
    message.append(text);
    message.append(detail);
    return status;
  };
  try {
    throw;
  } catch (const Refusal& refusal) {
    return refusal.status;
  } catch (const BackendError& error) {
    return report(error.status, error.what());
  } catch (const std::bad_alloc&) {
    return report(LACUNA_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& exception) {
    return report(LACUNA_INTERNAL, "a defect in Lacuna: ", exception.what());
  } catch (...) {
    return report(LACUNA_INTERNAL,
                  "a defect in Lacuna, or an exception from the caller's allocator");
  }
}

}  // namespace lacuna::api

extern "C" {

const char* lacuna_last_error(void) { return lacuna::api::last_error().text(); }

const char* lacuna_status_name(lacuna_status status) {
  switch (lacuna::api::number_of(status)) {
    case LACUNA_OK: return "LACUNA_OK";
    case LACUNA_INVALID_ARGUMENT: return "LACUNA_INVALID_ARGUMENT";
    case LACUNA_CAPACITY_EXCEEDED: return "LACUNA_CAPACITY_EXCEEDED";
    case LACUNA_MISMATCH: return "LACUNA_MISMATCH";
    case LACUNA_OUT_OF_MEMORY: return "LACUNA_OUT_OF_MEMORY";
    case LACUNA_UNSUPPORTED: return "LACUNA_UNSUPPORTED";
    case LACUNA_INTERNAL: return "LACUNA_INTERNAL";
    case LACUNA_DEVICE_ERROR: return "LACUNA_DEVICE_ERROR";
  }
  return "not a lacuna_status";
}

#define LACUNA_TEXT_OF(number) #number
#define LACUNA_DOTTED(major, minor, patch) \
  LACUNA_TEXT_OF(major) "." LACUNA_TEXT_OF(minor) "." LACUNA_TEXT_OF(patch)

const char* lacuna_version(void) {
  return LACUNA_DOTTED(LACUNA_VERSION_MAJOR, LACUNA_VERSION_MINOR, LACUNA_VERSION_PATCH);
}
}
