/*
 * The settings file: one flat mapping of plain or quoted scalars.
 *
 * Everything else that YAML knows (nesting, lists, anchors, aliases, tags, a second document) is
 * refused at its line and column: a settings file that means something else than it shows is worse
 * than none.
 */
#include <yaml.h>

#include "conf/load.h"

static struct conf_origin yaml_origin(yaml_mark_t mark)
{
    return (struct conf_origin){
        .in_file = true, .line = (int)mark.line + 1, .column = (int)mark.column + 1};
}

static enum err yaml_problem(struct conf_loader *l, const yaml_parser_t *p)
{
    struct conf_origin at = yaml_origin(p->problem_mark);
    if (p->error == YAML_READER_ERROR) { /* bytes that are no text: libyaml knows the offset only */
        at.line = at.column = 0;
    }
    return conf_fail(l, ERR_SYNTAX, &at, "%s%s%s", p->context != NULL ? p->context : "",
                     p->context != NULL ? ", " : "", p->problem != NULL ? p->problem : "not YAML");
}

static const char *yaml_what(yaml_event_type_t type)
{
    if (type == YAML_MAPPING_START_EVENT) {
        return "a nested mapping";
    }
    return type == YAML_SEQUENCE_START_EVENT ? "a list" : "an alias";
}

/* A scalar that stands for itself. */
static enum err yaml_scalar(struct conf_loader *l, const yaml_event_t *e, const char *role)
{
    struct conf_origin at = yaml_origin(e->start_mark);
    if (e->type != YAML_SCALAR_EVENT) {
        return conf_fail(l, ERR_TYPE, &at, "%s cannot be %s: settings are flat, `name: value`",
                         role, yaml_what(e->type));
    }
    if (e->data.scalar.anchor != NULL || e->data.scalar.tag != NULL) {
        return conf_fail(l, ERR_UNSUPPORTED, &at, "anchors and tags are not used in settings");
    }
    return ERR_OK;
}

static enum err yaml_pair(struct conf_loader *l, yaml_parser_t *p, const yaml_event_t *key)
{
    enum err e = yaml_scalar(l, key, "a name");
    if (e != ERR_OK) {
        return e;
    }
    yaml_event_t value;
    if (yaml_parser_parse(p, &value) == 0) {
        return yaml_problem(l, p);
    }
    e = yaml_scalar(l, &value, "a value");
    if (e == ERR_OK) {
        /* The value's place, because that is what the reader will change; an unknown name is
         * reported at the name. */
        struct view name = view_of(key->data.scalar.value, key->data.scalar.length);
        size_t index = 0;
        bool through_file = false;
        struct conf_origin at = yaml_origin(
            conf_find(name, &index, &through_file) == NULL ? key->start_mark : value.start_mark);
        e = conf_set(l, name, view_of(value.data.scalar.value, value.data.scalar.length),
                     value.data.scalar.style != YAML_PLAIN_SCALAR_STYLE, &at);
    }
    yaml_event_delete(&value);
    return e;
}

/* The document's content; *ret_end: the stream is over. */
static enum err yaml_event(struct conf_loader *l, yaml_parser_t *p, const yaml_event_t *e,
                           int *depth, bool *ret_end)
{
    struct conf_origin at = yaml_origin(e->start_mark);
    switch (e->type) {
    case YAML_STREAM_END_EVENT:
        *ret_end = true;
        return ERR_OK;
    case YAML_DOCUMENT_START_EVENT:
        if (*depth > 0) {
            return conf_fail(l, ERR_UNSUPPORTED, &at, "a settings file is one document");
        }
        *depth = 1;
        return ERR_OK;
    case YAML_MAPPING_START_EVENT:
        if (*depth == 1) {
            *depth = 2;
            return ERR_OK;
        }
        break;
    case YAML_SCALAR_EVENT:
        if (*depth == 2) {
            return yaml_pair(l, p, e);
        }
        if (e->data.scalar.length == 0 && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
            return ERR_OK; /* an empty document */
        }
        break;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_ALIAS_EVENT:
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return ERR_OK;
    }
    if (*depth == 2) {
        return yaml_scalar(l, e, "a name");
    }
    return conf_fail(l, ERR_TYPE, &at, "a settings file holds lines of the form `name: value`");
}

enum err conf_read_yaml(struct conf_loader *l, struct view yaml)
{
    yaml_parser_t p;
    if (yaml_parser_initialize(&p) == 0) {
        return ERR_NOMEM;
    }
    yaml_parser_set_input_string(&p, yaml.data, yaml.len);
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    enum err e = ERR_OK;
    int depth = 0;
    bool end = false;
    while (e == ERR_OK && !end) {
        yaml_event_t event;
        if (yaml_parser_parse(&p, &event) == 0) {
            e = yaml_problem(l, &p);
            break;
        }
        e = yaml_event(l, &p, &event, &depth, &end);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&p);
    return e;
}
