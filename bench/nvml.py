"""Clocks, temperature and power of the first GPU, asked of the driver's NVML: nvidia-smi says the same, but takes
up to a second to begin. Where there is no NVML, nothing is known."""

import ctypes

SM, MEMORY = 1, 2  # nvmlClockType_t


class Nvml:
    def __init__(self):
        self.gpu = None
        try:
            self.lib = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            return
        gpu = ctypes.c_void_p()
        if self.lib.nvmlInit_v2() == 0 and self.lib.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(gpu)) == 0:
            self.gpu = gpu

    def number(self, function, *words):
        """What a query of one unsigned number gives, or None."""
        found = ctypes.c_uint()
        if self.gpu is None or getattr(self.lib, function)(self.gpu, *words, ctypes.byref(found)) != 0:
            return None
        return found.value

    def driver(self):
        text = ctypes.create_string_buffer(96)
        known = self.gpu is not None and self.lib.nvmlSystemGetDriverVersion(text, len(text)) == 0
        return text.value.decode() if known else ""

    def name(self):
        text = ctypes.create_string_buffer(96)
        known = self.gpu is not None and self.lib.nvmlDeviceGetName(self.gpu, text, len(text)) == 0
        return text.value.decode() if known else ""

    def most(self):
        return {"sm_mhz": self.number("nvmlDeviceGetMaxClockInfo", SM),
                "memory_mhz": self.number("nvmlDeviceGetMaxClockInfo", MEMORY),
                "milliwatts": self.number("nvmlDeviceGetPowerManagementLimit")}

    def now(self):
        return {"sm_mhz": self.number("nvmlDeviceGetClockInfo", SM),
                "memory_mhz": self.number("nvmlDeviceGetClockInfo", MEMORY),
                "celsius": self.number("nvmlDeviceGetTemperature", 0),
                "milliwatts": self.number("nvmlDeviceGetPowerUsage")}
