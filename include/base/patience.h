/*
 * patience: memory for what nobody tells a second time and nobody can be refused for, such as the
 * end of a session or what is being committed.
 *
 * It is waited for, for a tenth of a second; when there is none for so long, the process ends: a
 * restart loses nothing that was acknowledged. Never NULL. The caller frees. Threads: any; the
 * caller's stands still meanwhile.
 */
#pragma once

#include <stddef.h>

void *patient_calloc(size_t size);
void *patient_realloc(void *old, size_t size); /* size is not 0 */
