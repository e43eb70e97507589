// See select.h.
#include "engine/select.h"

#include <string.h>

static const struct engine *const engines[] = {
    &engine_kvm,
    &engine_soft,
};

const struct engine *const *engine_list(unsigned *count)
{
    *count = ARRAY_SIZE(engines);
    return engines;
}

static const struct engine *engine_select_first(const struct engine_config *config, struct error *error)
{
    struct error reasons = {""};
    for (unsigned i = 0; i < ARRAY_SIZE(engines); i++) {
        struct error reason;
        if (!engines[i]->probe(config, &reason))
            return engines[i];
        size_t used = strlen(reasons.text);
        struct error joined = reasons;
        if (used)
            error_set(&reasons, "%.*s; %s", (int)sizeof joined.text / 2, joined.text, reason.text);
        else
            reasons = reason;
    }
    error_set(error, "no engine can run this VM: %s", reasons.text);
    return NULL;
}

const struct engine *engine_select(const char *name, const struct engine_config *config, struct error *error)
{
    if (!strcmp(name, "auto"))
        return engine_select_first(config, error);
    for (unsigned i = 0; i < ARRAY_SIZE(engines); i++) {
        if (strcmp(name, engines[i]->name))
            continue;
        if (!engines[i]->probe(config, error))
            return engines[i];
        error_prefix(error, "--engine %s", name);
        return NULL;
    }
    error_set(error, "--engine %s: there is no such engine in this build of nidus: take auto%s%s", name,
              ARRAY_SIZE(engines) ? " or " : "", ARRAY_SIZE(engines) ? engines[0]->name : "");
    return NULL;
}
