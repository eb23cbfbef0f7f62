/* Settings as YAML: the commented sample, and what is in force. Texts are written as JSON strings,
 * which YAML reads. */
#include "base/emit_json.h"
#include "conf/mask.h"
#include "conf/table.h"

static void write_default(const struct setting *s, struct buf *out)
{
    if (s->type == SETTING_TEXT) {
        struct emit_json j = emit_json_init(out);
        emit_json_str(&j, s->text);
        return;
    }
    setting_format(s->type, s->number, out);
}

void conf_write_sample(struct buf *out)
{
    buf_put_str(
        out,
        "# Settings of signalbox. Every line may be left out: the value shown is the default.\n"
        "# Each can also be given in the environment, as SIGNALBOX_ and the name in capitals.\n"
        "# `signalbox check-config --config FILE` checks this file.\n");
    size_t count = 0;
    const struct setting *all = setting_all(&count);
    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &all[i];
        buf_printf(out, "\n# %s.", s->words);
        if (s->type == SETTING_COUNT || s->type == SETTING_TIME || s->type == SETTING_SIZE) {
            buf_put_str(out, " From ");
            setting_format(s->type, s->min, out);
            buf_put_str(out, " to ");
            setting_format(s->type, s->max, out);
            buf_put_str(out, ".");
        }
        if (s->secret) {
            buf_printf(out, "\n# A secret: `%s_file` names a file that holds it instead.", s->name);
        }
        buf_printf(out, "\n#%s: ", s->name);
        write_default(s, out);
        buf_put_str(out, "\n");
    }
}

void conf_write_effective(const struct conf *c, struct buf *out)
{
    size_t count = 0;
    const struct setting *all = setting_all(&count);
    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &all[i];
        buf_printf(out, "%s: ", s->name);
        if (s->type != SETTING_TEXT) {
            setting_format(s->type, setting_number_get(s, c), out);
            buf_put_str(out, "\n");
            continue;
        }
        const char *text = *(char *const *)(const void *)((const char *)c + s->offset);
        struct emit_json j = emit_json_init(out);
        if (!s->secret) {
            emit_json_str(&j, text);
        } else {
            struct buf masked;
            buf_init(&masked, (size_t)SETTING_VALUE_MAX * 2);
            conf_mask(view_str(text), &masked);
            emit_json_view(&j, buf_view(&masked));
            buf_fini(&masked);
        }
        buf_put_str(out, "\n");
    }
}
