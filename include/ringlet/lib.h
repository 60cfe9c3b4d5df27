/* SPDX-License-Identifier: MIT */
/*
 * lib.h: strings, messages and assertions.
 *
 * ASSERT states an invariant of the hypervisor; it stays on in debug builds (the default). BUG_ON
 * stays always. Neither may depend on anything a guest controls: a guest's bad number gets an error
 * code or domain_crash().
 */
#ifndef RINGLET_LIB_H
#define RINGLET_LIB_H

#include <stdarg.h>

#include <ringlet/types.h>

#define RINGLET_VERSION "0.1"

/* lib/string: xen/string.c */
void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
/*
 * -ffreestanding hides from the compiler what these are; told again, it copies a few words without
 * a call. Host tests have names of their own for them.
 */
#if defined(__i386__) && !defined(memcpy) && !defined(STRING_FUNCTIONS)
#define memcpy(dst, src, n) __builtin_memcpy((dst), (src), (n))
#define memset(dst, c, n) __builtin_memset((dst), (c), (n))
#endif
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
size_t strlcpy(char *dst, const char *src, size_t size);
unsigned long long parse_number(const char *s, const char **end);
unsigned long long parse_size(const char *s, const char **end);

/* xen/printk.c */
enum log_level { LOG_NONE = -1, LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
int vsnprintf(char *buf, size_t size, const char *fmt, va_list args) __printf(3, 0);
int snprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
void vprintk(const char *fmt, va_list args) __printf(1, 0);
void printk(const char *fmt, ...) __printf(1, 2);
void log_message(enum log_level level, const char *fmt, ...) __printf(2, 3);
void guest_log(enum log_level level, const char *fmt, ...) __printf(2, 3);

/* xen/panic.c; panic itself is in arch/i386/entry.S */
noreturn void panic(const char *fmt, ...) __printf(1, 2);
noreturn void bug(const char *file, int line, const char *what);
struct cpu_user_regs;
asmlinkage noreturn void do_panic(const struct cpu_user_regs *regs, const char **args);
void show_registers(const struct cpu_user_regs *regs);
noreturn void fatal_trap(const struct cpu_user_regs *regs, const char *what);

#define BUG_ON(x)                        \
    do {                                 \
        if (unlikely(x))                 \
            bug(__FILE__, __LINE__, #x); \
    } while (0)

#ifdef NDEBUG
#define ASSERT(x) ((void)sizeof(x))
#else
#define ASSERT(x) BUG_ON(!(x))
#endif

#endif
