/*
 * devices: what the routes of devices and of their import share: the checks of a device's fields.
 */
#pragma once

#include "api/request.h"

enum {
    API_LABELS_MAX = 64,
    API_ATTRIBUTES_MAX = 1000,
    API_ATTRIBUTE_NAME_MAX = 256,
    API_LABEL_TEXT_MAX = 256,
    API_TOKEN_MIN = 20,
    API_TOKEN_MAX = 256,
};

/* Labels are texts, numbers or booleans under valid names; null too where it removes one. */
void api_check_labels(struct api_fields *f, bool null_removes);
void api_check_attributes(struct api_fields *f);
bool api_token_fits(struct view token); /* 20 to 256 printable ASCII bytes without blanks */
/* Would the token see a device of this type with these labels over those of `old` (may be NULL)? */
bool api_sees_preview(struct api_request *r, const char *name, const char *type,
                      const struct device *old, const json_t *labels);
/* One device as JSON with what only the sessions know. */
void api_put_device(struct api_request *r, struct emit_json *j, struct view json,
                    int32_t device_id);
