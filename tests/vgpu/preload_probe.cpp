// kiln-info's self-checks by way of the real kernel's names: libkiln opens /dev/kfd as it does on a
// machine with a card, libdrm looks at the render node, and the preload library answers both.
// Owns: that path end to end: preload_probe REPORT [TARGET...], one GPU for each target.
// Does not own: the checks (tools/probe.cpp).
// Threading: one thread.
#include <cstdio>
#include <cstring>

#include "probe.hpp"
#include "session.hpp"

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  // An empty name: no virtual GPU of libkiln's own, whatever KILN_VGPU says.
  tools::Instance instance("");
  if (!instance.ok()) {
    std::fprintf(stderr, "%s\n", instance.error().c_str());
    return 1;
  }
  for (const KilnUnusableDevice& unusable : instance.unusable())
    std::fprintf(stderr, "unusable: %s: %s\n", unusable.name, unusable.reason);
  if (instance.gpus().size() != static_cast<std::size_t>(argc - 2)) {
    std::fprintf(stderr, "%zu GPUs\n", instance.gpus().size());
    return 1;
  }
  for (int i = 2; i < argc; ++i) {
    KilnPhysicalDeviceProperties properties{};
    properties.sType = KILN_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES;
    instance.check(kilnGetPhysicalDeviceProperties(instance.gpus()[i - 2], &properties),
                   "properties");
    std::printf("%s, %s\n", properties.deviceName, properties.targetName);
    if (properties.isVirtual != VK_FALSE || std::strcmp(properties.targetName, argv[i]) != 0)
      return 1;
  }
  return tools::run_probe(instance, argv[1]);
}
