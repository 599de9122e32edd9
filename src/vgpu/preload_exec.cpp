// Owns: libc's names that start programs: a program started with an environment of its own stands
//   on the same machine, and so has its GPU. KILN_VGPU set to nothing starts one without.
// Does not own: what the environment says (preload_state.*).
// Threading: as libc's own functions; safe in a child of vfork: nothing is allocated or noted.
#include <alloca.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "vgpu/preload_hook.hpp"

using namespace kiln::vgpu::preload;

extern char** environ;

namespace {

constexpr char kSpec[] = "KILN_VGPU=", kPreload[] = "LD_PRELOAD=";

bool begins(const char* text, const char* with) {
  return strncmp(text, with, strlen(with)) == 0;
}

/// `environment` with what is missing in it: an array of `count` + 3, and a text of `room`.
struct Environment {
  size_t count = 0;
  size_t room = 0;
  bool complete = true;

  explicit Environment(char* const* environment) : given_(environment) {
    if (settings().spec == nullptr) return;
    for (; given_ != nullptr && given_[count] != nullptr; ++count) {
      if (begins(given_[count], kSpec)) spec_ = given_[count];
      if (begins(given_[count], kPreload)) preload_ = given_[count];
    }
    if (spec_ != nullptr && spec_[sizeof kSpec - 1] == '\0') return;  // without
    has_preload_ = preload_ != nullptr && strstr(preload_, settings().library) != nullptr;
    complete = spec_ != nullptr && has_preload_;
    room = strlen(settings().library) + (preload_ != nullptr ? strlen(preload_) : 0) + 16;
  }

  char* const* complete_in(char** entries, char* text) const {
    size_t length = 0;
    for (size_t i = 0; i < count; ++i)
      if (has_preload_ || given_[i] != preload_) entries[length++] = given_[i];
    if (spec_ == nullptr) entries[length++] = const_cast<char*>(settings().spec);
    if (!has_preload_) {
      const char* others = preload_ != nullptr ? preload_ + sizeof kPreload - 1 : "";
      snprintf(text, room, "%s%s%s%s", kPreload, settings().library, *others != '\0' ? ":" : "",
               others);
      entries[length++] = text;
    }
    entries[length] = nullptr;
    return entries;
  }

 private:
  char* const* given_;
  const char* spec_ = nullptr;
  const char* preload_ = nullptr;
  bool has_preload_ = false;
};

}  // namespace

// The environment to start a program with; its memory is of the function that asks.
#define COMPLETED(environment)                                                                \
  ({                                                                                          \
    char* const* completed = (environment);                                                   \
    const Environment wanted(completed);                                                      \
    if (!wanted.complete)                                                                     \
      completed =                                                                             \
          wanted.complete_in(static_cast<char**>(alloca((wanted.count + 3) * sizeof(char*))), \
                             static_cast<char*>(alloca(wanted.room)));                        \
    completed;                                                                                \
  })

HOOK(int, execve, const char* path, char* const* words, char* const* environment) {
  return NEXT(execve)(Path(path), words, COMPLETED(environment));
}
HOOK(int, execv, const char* path, char* const* words) {
  return hook_execve(path, words, environ);
}
HOOK(int, execvpe, const char* file, char* const* words, char* const* environment) {
  return NEXT(execvpe)(file, words, COMPLETED(environment));
}
HOOK(int, execvp, const char* file, char* const* words) {
  return hook_execvpe(file, words, environ);
}
HOOK(int, fexecve, int fd, char* const* words, char* const* environment) {
  return NEXT(fexecve)(fd, words, COMPLETED(environment));
}
HOOK(int, execveat, int folder, const char* path, char* const* words, char* const* environment,
     int flags) {
  return NEXT(execveat)(folder, path, words, COMPLETED(environment), flags);
}

// The forms that take words one by one.
#define WORDS(first)                                                       \
  va_list rest;                                                            \
  va_start(rest, first);                                                   \
  size_t count = 1;                                                        \
  while (va_arg(rest, char*) != nullptr) ++count;                          \
  va_end(rest);                                                            \
  auto** words = static_cast<char**>(alloca((count + 1) * sizeof(char*))); \
  words[0] = const_cast<char*>(first);                                     \
  va_start(rest, first);                                                   \
  for (size_t i = 1; i <= count; ++i) words[i] = va_arg(rest, char*)

HOOK(int, execl, const char* path, const char* first, ...) {
  WORDS(first);
  va_end(rest);
  return hook_execve(path, words, environ);
}
HOOK(int, execlp, const char* file, const char* first, ...) {
  WORDS(first);
  va_end(rest);
  return hook_execvpe(file, words, environ);
}
HOOK(int, execle, const char* path, const char* first, ...) {
  WORDS(first);
  char* const* environment = va_arg(rest, char* const*);
  va_end(rest);
  return hook_execve(path, words, environment);
}
HOOK(int, posix_spawn, pid_t* child, const char* path, const posix_spawn_file_actions_t* actions,
     const posix_spawnattr_t* attributes, char* const* words, char* const* environment) {
  return NEXT(posix_spawn)(child, Path(path), actions, attributes, words, COMPLETED(environment));
}
HOOK(int, posix_spawnp, pid_t* child, const char* file, const posix_spawn_file_actions_t* actions,
     const posix_spawnattr_t* attributes, char* const* words, char* const* environment) {
  return NEXT(posix_spawnp)(child, file, actions, attributes, words, COMPLETED(environment));
}
