// Where-Object and ForEach-Object: a block for each object, or the short forms without one.
#include <stdlib.h>
#include <string.h>

#include "cmdlet/local/local.h"
#include "cmdlet/session_room.h"

struct value *local_property(struct stage *stage, struct value *object, const char *name)
{
    return member_get(stage_session(stage), object, name);
}

// The switch of Where-Object that says how to compare.
static const struct {
    const char *name;
    enum operator op;
} comparisons[] = {
    {"EQ", OPERATOR_EQ}, {"NE", OPERATOR_NE}, {"GT", OPERATOR_GT}, {"GE", OPERATOR_GE}, {"LT", OPERATOR_LT},
    {"LE", OPERATOR_LE}, {"Like", OPERATOR_LIKE}, {"NotLike", OPERATOR_NOTLIKE}, {"Match", OPERATOR_MATCH},
    {"NotMatch", OPERATOR_NOTMATCH}, {"Contains", OPERATOR_CONTAINS}, {"NotContains", OPERATOR_NOTCONTAINS},
    {"In", OPERATOR_IN}, {"NotIn", OPERATOR_NOTIN},
};

static bool where_compares(struct stage *stage, struct value *input)
{
    struct value *property = local_property(stage, input, stage_string(stage, "Property", ""));
    struct value *value = stage_parameter(stage, "Value"), *nothing = value_null();
    bool keep = false, compared = false;
    for (unsigned i = 0; i < ARRAY_SIZE(comparisons) && !compared; i++) {
        if (!stage_switch(stage, comparisons[i].name))
            continue;
        struct value *result = operate_binary(stage_session(stage), NULL, comparisons[i].op, property,
                                              value ? value : nothing);
        keep = result && value_truth(result);
        value_unref(result);
        compared = true;
    }
    if (!compared) // Property alone, or Property Value: -EQ is what is meant
        keep = value ? value_equal(property, value) : value_truth(property);
    value_unref(property);
    value_unref(nothing);
    return stage_switch(stage, "Not") ? !keep : keep;
}

static void where_process(struct stage *stage, struct value *input)
{
    struct value *block = stage_parameter(stage, "FilterScript");
    bool keep;
    if (!input)
        return;
    if (block) {
        struct value *output = value_array();
        keep = stage_block(stage, block, input, output) && value_truth(output);
        value_unref(output);
    } else {
        keep = where_compares(stage, input);
    }
    if (keep && !stage_stopped(stage))
        stage_put(stage, value_ref(input));
}

// What a block puts out, goes on as it comes.
static void each_put(void *context, struct value *object) { stage_put(context, object); }

static void each_run(struct stage *stage, struct value *block, struct value *input)
{
    struct sink sink = {.put = each_put, .context = stage};
    if (block)
        eval_block(stage_session(stage), block->block.node, input, &sink);
    // `return` in the block ends this turn, not the pipeline.
    if (stage_session(stage)->flow == FLOW_RETURN)
        stage_session(stage)->flow = FLOW_ON;
}

static void each_begin(struct stage *stage) { each_run(stage, stage_parameter(stage, "Begin"), NULL); }
static void each_end(struct stage *stage) { each_run(stage, stage_parameter(stage, "End"), NULL); }

static void each_member(struct stage *stage, struct value *input, const char *name)
{
    struct value *arguments = stage_parameter(stage, "ArgumentList"), *result;
    bool method = arguments || (value_get(input, name) == NULL && (!value_name_compare(name, "ToString") ||
                  !value_name_compare(name, "ToUpper") || !value_name_compare(name, "ToLower") ||
                  !value_name_compare(name, "Trim")));
    if (method)
        result = member_call(stage_session(stage), NULL, input, name, arguments ? arguments->array.items : NULL,
                             value_count(arguments));
    else
        result = local_property(stage, input, name);
    struct sink sink = {.put = each_put, .context = stage};
    if (result)
        eval_output(stage_session(stage), result, &sink);
}

static void each_process(struct stage *stage, struct value *input)
{
    const char *member = stage_string(stage, "MemberName", NULL);
    struct value *blocks = stage_parameter(stage, "Process");
    if (member && input)
        each_member(stage, input, member);
    for (size_t i = 0; input && i < value_count(blocks) && !stage_stopped(stage); i++)
        each_run(stage, value_item(blocks, i), input);
}

const struct local_cmdlet local_filter[] = {
    {.name = "Where-Object", .process = where_process},
    {.name = "ForEach-Object", .begin = each_begin, .process = each_process, .end = each_end},
    {0},
};
