/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4): plain computation, which a hypervisor should leave alone. Used by bench.c. */
#ifndef SHA256_H
#define SHA256_H

#include <stdint.h>
#include <string.h>

static const uint32_t SHA256_K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t sha256_rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static inline uint32_t sha256_big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* One block of 64 bytes: state h[0..7] moves on. */
static inline void sha256_block(uint32_t *h, const uint8_t *block)
{
    uint32_t w[64], v[8];

    for (int i = 0; i < 16; i++)
        w[i] = sha256_big_endian(block + 4 * i);
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];

        w[i] = w[i - 16] + (sha256_rotate(a, 7) ^ sha256_rotate(a, 18) ^ a >> 3) + w[i - 7] +
               (sha256_rotate(b, 17) ^ sha256_rotate(b, 19) ^ b >> 10);
    }
    memcpy(v, h, sizeof(v));
    /* Instead of moving all eight variables on in each round, count their names back. */
#define V(n) v[((n)-i) & 7]
#pragma GCC unroll 8
    for (int i = 0; i < 64; i++) {
        uint32_t e = V(4), a = V(0);
        uint32_t t1 = V(7) + (sha256_rotate(e, 6) ^ sha256_rotate(e, 11) ^ sha256_rotate(e, 25)) +
                      ((e & V(5)) ^ (~e & V(6))) + SHA256_K[i] + w[i];

        V(3) += t1;
        V(7) = t1 + (sha256_rotate(a, 2) ^ sha256_rotate(a, 13) ^ sha256_rotate(a, 22)) +
               ((a & V(1)) ^ (a & V(2)) ^ (V(1) & V(2)));
    }
#undef V
    for (int i = 0; i < 8; i++)
        h[i] += v[i];
}

/* The digest of length bytes; length is a multiple of 64. */
static inline void sha256(const uint8_t *data, uint32_t length, uint8_t *digest)
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t last[64] = {0x80};

    for (uint32_t at = 0; at < length; at += 64)
        sha256_block(h, data + at);
    for (int i = 0; i < 4; i++)
        last[60 + i] = (uint64_t)length * 8 >> (24 - 8 * i);
    sha256_block(h, last);
    for (int i = 0; i < 32; i++)
        digest[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

#endif
