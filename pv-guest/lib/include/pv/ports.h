/* SPDX-License-Identifier: MIT */
/*
 * Ports, for a guest that may use some: IN and OUT need I/O privilege (PHYSDEVOP_set_iopl), and
 * whoever has it still reaches only the ports of its domain. Each of these is carried out by the
 * hypervisor, after a #GP.
 */
#ifndef PV_PORTS_H
#define PV_PORTS_H

#include <stdint.h>

static inline void outb(unsigned int port, uint8_t value)
{
    __asm__ volatile("outb %0, %w1" : : "a"(value), "d"(port));
}

static inline uint8_t inb(unsigned int port)
{
    uint8_t value;

    __asm__ volatile("inb %w1, %0" : "=a"(value) : "d"(port));
    return value;
}

static inline void outw(unsigned int port, uint16_t value)
{
    __asm__ volatile("outw %0, %w1" : : "a"(value), "d"(port));
}

static inline uint16_t inw(unsigned int port)
{
    uint16_t value;

    __asm__ volatile("inw %w1, %0" : "=a"(value) : "d"(port));
    return value;
}

static inline void outl(unsigned int port, uint32_t value)
{
    __asm__ volatile("outl %0, %w1" : : "a"(value), "d"(port));
}

static inline uint32_t inl(unsigned int port)
{
    uint32_t value;

    __asm__ volatile("inl %w1, %0" : "=a"(value) : "d"(port));
    return value;
}

#endif
