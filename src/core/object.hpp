// Owns: how a public handle is a C++ object, and how objects come from VkAllocationCallbacks.
// Does not own: the objects.
// Threading: none of its own.
#pragma once

#include <kiln/kiln.h>

#include <new>
#include <utility>

#include "base/result.hpp"

namespace kiln::core {

/// Defines from(KilnType) and to_handle(Type*): a handle is the object's address.
#define KILN_DEFINE_HANDLE(Type)                 \
  class Type;                                    \
  inline Type* from(Kiln##Type handle) {         \
    return reinterpret_cast<Type*>(handle);      \
  }                                              \
  inline Kiln##Type to_handle(Type* object) {    \
    return reinterpret_cast<Kiln##Type>(object); \
  }

KILN_DEFINE_HANDLE(Instance)
KILN_DEFINE_HANDLE(PhysicalDevice)
KILN_DEFINE_HANDLE(DebugMessenger)
KILN_DEFINE_HANDLE(Device)
KILN_DEFINE_HANDLE(Queue)
KILN_DEFINE_HANDLE(Memory)
KILN_DEFINE_HANDLE(Module)
KILN_DEFINE_HANDLE(Kernel)
KILN_DEFINE_HANDLE(CommandPool)
KILN_DEFINE_HANDLE(CommandBuffer)
KILN_DEFINE_HANDLE(Semaphore)
#undef KILN_DEFINE_HANDLE

/// Makes a T in memory from `callbacks` (null: operator new).
template <class T, class... Arguments>
Result<T*> make_object(const VkAllocationCallbacks* callbacks, Arguments&&... arguments) {
  void* storage = callbacks != nullptr
                      ? callbacks->pfnAllocation(callbacks->pUserData, sizeof(T), alignof(T),
                                                 VK_SYSTEM_ALLOCATION_SCOPE_OBJECT)
                      : ::operator new(sizeof(T), std::align_val_t{alignof(T)}, std::nothrow);
  if (storage == nullptr)
    return fail(VK_ERROR_OUT_OF_HOST_MEMORY, "the allocator returned no memory for an object");
  return new (storage) T(std::forward<Arguments>(arguments)...);
}

/// Ends what make_object began, with the same callbacks.
template <class T>
void destroy_object(const VkAllocationCallbacks* callbacks, T* object) {
  if (object == nullptr) return;
  object->~T();
  if (callbacks != nullptr)
    callbacks->pfnFree(callbacks->pUserData, object);
  else
    ::operator delete(object, std::align_val_t{alignof(T)});
}

/// The structure of type `wanted` in a pNext chain, or null.
template <class T>
const T* find_in_chain(const void* chain, KilnStructureType wanted) {
  struct Head {
    KilnStructureType sType;
    const void* pNext;
  };
  for (auto* head = static_cast<const Head*>(chain); head != nullptr;
       head = static_cast<const Head*>(head->pNext))
    if (head->sType == wanted) return reinterpret_cast<const T*>(head);
  return nullptr;
}

/// The two-call enumeration of Vulkan: `write(i)` fills element i.
template <class Write>
VkResult enumerate(std::size_t available, std::uint32_t* count, bool has_array, Write write) {
  if (!has_array) {
    *count = static_cast<std::uint32_t>(available);
    return VK_SUCCESS;
  }
  const std::size_t room = *count;
  const std::size_t written = room < available ? room : available;
  for (std::size_t i = 0; i < written; ++i) write(i);
  *count = static_cast<std::uint32_t>(written);
  return written < available ? VK_INCOMPLETE : VK_SUCCESS;
}

}  // namespace kiln::core
