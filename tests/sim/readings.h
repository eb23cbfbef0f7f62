/*
 * readings: what a device measures and sends, and what must be in the database of it.
 */
#pragma once

#include "devices.h"

void readings_begin(struct dev *d);
void readings_start(struct dev *d);
/* The device was told that the message is stored (ok) or refused for good. */
void readings_acknowledged(struct dev *d, struct dev_message *m, bool ok);
/* The sample of which this row is the only one; a broken invariant if there is none. */
void readings_row(struct dev *d, const struct pg_sample *row);
/* A message of this payload leaves the spool. */
void readings_released(struct dev *d, struct view payload);
/* All messages are acknowledged: every sample has its row. */
void readings_complete(struct dev *d);

/* device.c */
struct dev_message *device_keep(struct dev *d, enum dev_message_kind kind);
void device_send(struct dev *d);
