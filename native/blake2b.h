/* BLAKE2b (RFC 7693) without a key, of eight bytes. */
#ifndef BLAKE2B_H
#define BLAKE2B_H

#include "span.h"

enum { BLAKE2B_BLOCK = 128 };

typedef struct {
    uint64_t state[8];
    unsigned char block[BLAKE2B_BLOCK];
    size_t filled;
    uint64_t hashed;
} Blake2b;

void blake2b_open(Blake2b *hash);
void blake2b_add(Blake2b *hash, Span bytes);

/* The digest, its first byte the most significant. */
uint64_t blake2b_close(Blake2b *hash);

#endif
