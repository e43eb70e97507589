// base/batch.h: what a thread's policy becomes, with one processor and with several. On threads of their own, which take
// it with them.
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/batch.h"

static void *policy_of_thread(void *context)
{
    const unsigned processors = *(const unsigned *)context;
    cpu_set_t all, some;
    CPU_ZERO(&some);
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    for (unsigned i = 0; i < CPU_SETSIZE && CPU_COUNT(&some) < (int)processors; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &some);
    if (CPU_COUNT(&some) < (int)processors)
        return (void *)-1;
    assert_int_equal(sched_setaffinity(0, sizeof some, &some), 0);
    batch_thread();
    return (void *)(long)sched_getscheduler(0);
}

static long policy_with(unsigned processors)
{
    pthread_t thread;
    void *policy;
    assert_int_equal(pthread_create(&thread, NULL, policy_of_thread, &processors), 0);
    assert_int_equal(pthread_join(thread, &policy), 0);
    return (long)policy;
}

static void test_one_processor(void **state)
{
    (void)state;
    assert_int_equal(policy_with(1), SCHED_BATCH);
}

static void test_two_processors(void **state)
{
    (void)state;
    const long policy = policy_with(2);
    if (policy < 0)
        skip();
    assert_int_equal(policy, SCHED_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_processor),
        cmocka_unit_test(test_two_processors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
