// The table of cmdlets and classes holds together: no name twice, classes that exist, columns that are properties,
// types that fit their bounds.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cmdlet/class.h"
#include "cmdlet/cmdlet.h"

static void names_are_unique(void **state)
{
    (void)state;
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++) {
        assert_ptr_equal(cmdlet_find(cmdlet->name), cmdlet);
        assert_non_null(cmdlet->synopsis);
        assert_non_null(cmdlet->module);
        if (cmdlet->output)
            assert_non_null(class_find(cmdlet->output));
    }
    assert_true(cmdlet_find("set-vmprocessor") == cmdlet_find("Set-VMProcessor"));
    assert_null(cmdlet_find("Set-VMProcesso"));
}

static void assert_parameter(const struct cmdlet *cmdlet, const struct parameter *parameter)
{
    assert_non_null(parameter->help);
    for (const struct parameter *other = cmdlet->parameters; other != parameter; other++)
        assert_int_not_equal(value_name_compare(other->name, parameter->name), 0);
    for (const struct parameter *common = cmdlet_common_parameters; common->name; common++)
        assert_int_not_equal(value_name_compare(common->name, parameter->name), 0);
    if (parameter->type == PARAMETER_OBJECT)
        assert_non_null(class_find(parameter->object));
    assert_int_equal(parameter->type == PARAMETER_ENUM, parameter->values != NULL);
    assert_true(parameter->least <= parameter->most);
    for (unsigned set = 0; set < 8; set++)
        if (parameter->sets & 1 << set)
            assert_true(set < CMDLET_SETS && cmdlet->sets[set]);
}

static void parameters_make_sense(void **state)
{
    (void)state;
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++)
        for (const struct parameter *parameter = cmdlet->parameters; parameter && parameter->name; parameter++)
            assert_parameter(cmdlet, parameter);
}

static void classes_make_sense(void **state)
{
    (void)state;
    const struct class *class;
    for (unsigned i = 0; (class = class_at(i)); i++) {
        assert_ptr_equal(class_find(class->name), class);
        assert_ptr_equal(class_find(class->full_name), class);
        if (class->key)
            assert_non_null(class_property(class, class->key));
        if (class->display)
            assert_non_null(class_property(class, class->display));
        if (class->parent)
            assert_non_null(class_find(class->parent));
        for (unsigned column = 0; column < CLASS_COLUMNS && class->columns[column].property; column++)
            assert_non_null(class_property(class, class->columns[column].property));
        for (const struct property *property = class->properties; property->name; property++)
            if (property->object)
                assert_non_null(class_find(property->object));
        for (const struct link *link = class->links; link && link->name; link++) {
            const struct cmdlet *cmdlet = cmdlet_find(link->cmdlet);
            assert_non_null(cmdlet);
            assert_string_equal(cmdlet->output, link->class);
            assert_null(class_property(class, link->name)); // else it would never be asked for
        }
    }
}

static void absent_cmdlets_have_no_parameters(void **state)
{
    (void)state;
    const struct cmdlet *cmdlet = cmdlet_find("Start-VMFailover");
    assert_non_null(cmdlet);
    assert_true(cmdlet->flags & CMDLET_ABSENT);
    assert_null(cmdlet->parameters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(parameters_make_sense),
        cmocka_unit_test(classes_make_sense),
        cmocka_unit_test(absent_cmdlets_have_no_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
