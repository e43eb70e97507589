// From arguments to requests: names, positions, types, parameter sets, the pipeline; and every command line of the two
// documents on nested virtualization, byte for byte.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cmdlet/bind.h"
#include "cmdlet_session.h"

struct line {
    const char *script, *requests;
};

static void check(const struct line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct fake fake;
        fake_start(&fake, 0);
        int failed = session_run(fake.session, NULL, lines[i].script);
        if (failed)
            print_error("%s\n  errors  %s\n", lines[i].script, fake.errors);
        assert_string_equal(fake.requests ? fake.requests : "", lines[i].requests);
        assert_int_equal(failed, 0);
        fake_stop(&fake);
    }
}

// With <VMName> and <my DNS server> filled in.
static void documents(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"Set-VMProcessor -VMName lab1 -ExposeVirtualizationExtensions $true",
         "Set-VMProcessor VMName=lab1 ExposeVirtualizationExtensions=True\n"},
        {"Set-VMProcessor -VMName lab1 -ExposeVirtualizationExtensions $false",
         "Set-VMProcessor VMName=lab1 ExposeVirtualizationExtensions=False\n"},
        {"Set-VMMemory -VMName lab1 -DynamicMemoryEnabled $false",
         "Set-VMMemory VMName=lab1 DynamicMemoryEnabled=False\n"},
        {"Get-VMNetworkAdapter -VMName lab1 | Set-VMNetworkAdapter -MacAddressSpoofing On",
         "Get-VMNetworkAdapter VMName=lab1\nSet-VMNetworkAdapter MacAddressSpoofing=On VMNetworkAdapter=lab1\n"},
        {"New-VMSwitch -Name VmNAT -SwitchType Internal\n"
         "New-NetNat \xe2\x80\x93Name LocalNAT \xe2\x80\x93InternalIPInterfaceAddressPrefix '192.168.100.0/24'\n",
         "New-VMSwitch Name=VmNAT SwitchType=Internal\n"
         "New-NetNat Name=LocalNAT InternalIPInterfaceAddressPrefix=192.168.100.0/24\n"},
        {"new-vmswitch -name VmNAT -SwitchType Internal\n"
         "New-NetNat \xe2\x80\x93Name LocalNAT \xe2\x80\x93InternalIPInterfaceAddressPrefix "
         "\xe2\x80\x9c" "192.168.100.0/24\xe2\x80\x9d\n",
         "New-VMSwitch Name=VmNAT SwitchType=Internal\n"
         "New-NetNat Name=LocalNAT InternalIPInterfaceAddressPrefix=192.168.100.0/24\n"},
        {"Get-NetAdapter 'vEthernet (VmNat)' | New-NetIPAddress -IPAddress 192.168.100.1 -AddressFamily IPv4 "
         "-PrefixLength 24",
         "Get-NetAdapter Name=vEthernet (VmNat)\n"},
        {"get-netadapter \"vEthernet (VmNat)\" | New-NetIPAddress -IPAddress 192.168.100.1 -AddressFamily IPv4 "
         "-PrefixLength 24",
         "Get-NetAdapter Name=vEthernet (VmNat)\n"},
        {"Netsh interface ip add dnsserver \"vEthernet (VmNat)\" address=10.0.0.53",
         "Add-NetshDnsServer Address=10.0.0.53 InterfaceAlias=vEthernet (VmNat)\n"},
        {"Netsh interface ip add dnsserver \xe2\x80\x9c" "Ethernet\xe2\x80\x9d address=10.0.0.53",
         "Add-NetshDnsServer Address=10.0.0.53 InterfaceAlias=Ethernet\n"},
        {"netsh int ipv4 add dnsservers name=Ethernet addr=10.0.0.53 index=2 validate=no",
         "Add-NetshDnsServer InterfaceAlias=Ethernet Address=10.0.0.53 Index=2\n"},
    };
    check(lines, ARRAY_SIZE(lines));
}

// What the adapter brings through the pipeline, with every adapter there is.
static void documents_addresses(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"Get-NetAdapter 'lab1' | New-NetIPAddress -IPAddress 192.168.100.2 -DefaultGateway 192.168.100.1 "
         "-AddressFamily IPv4 -PrefixLength 24",
         "Get-NetAdapter Name=lab1\n"
         "New-NetIPAddress IPAddress=192.168.100.2 DefaultGateway=192.168.100.1 AddressFamily=IPv4 PrefixLength=24 "
         "InterfaceIndex=7\n"},
        {"get-netadapter \"lab1\" | New-NetIPAddress -IPAddress 192.168.100.2 -DefaultGateway 192.168.100.1 "
         "-AddressFamily IPv4 -PrefixLength 24",
         "Get-NetAdapter Name=lab1\n"
         "New-NetIPAddress IPAddress=192.168.100.2 DefaultGateway=192.168.100.1 AddressFamily=IPv4 PrefixLength=24 "
         "InterfaceIndex=7\n"},
    };
    check(lines, ARRAY_SIZE(lines));
}

static void names_and_positions(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"SET-VMPROCESSOR LAB -expose $TRUE", "Set-VMProcessor ExposeVirtualizationExtensions=True VMName=LAB\n"},
        {"Set-VMProcessor a, b -Count 2", "Set-VMProcessor Count=2 VMName=a b\n"},
        {"Set-VMProcessor -Count:4 -VMName:x", "Set-VMProcessor Count=4 VMName=x\n"},
        {"Set-VMProcessor x -Passthru:$false -Vendor int", "Set-VMProcessor Passthru=False Vendor=Intel VMName=x\n"},
        {"Set-VMMemory x -StartupBytes 2GB; Set-VMMemory x -StartupBytes '512MB'",
         "Set-VMMemory StartupBytes=2147483648 VMName=x\nSet-VMMemory StartupBytes=536870912 VMName=x\n"},
        {"Set-VMMemory 007 -Buffer 20", "Set-VMMemory Buffer=20 VMName=007\n"},
        {"Get-VMMemory lab1 | Set-VMMemory -Buffer 30",
         "Get-VMMemory VMName=lab1\nSet-VMMemory Buffer=30 VMMemory=lab1\n"},
        {"'lab1', 'lab2' | Get-VMMemory | Out-Null", "Get-VMMemory VMName=lab1\nGet-VMMemory VMName=lab2\n"},
        {"$m = Get-VMMemory lab1; Set-VMMemory -VMMemory $m -Priority 5",
         "Get-VMMemory VMName=lab1\nSet-VMMemory VMMemory=lab1 Priority=5\n"},
        {"$p = @{VMName = 'x'; Count = 3}; Set-VMProcessor @p -Reserve 10",
         "Set-VMProcessor VMName=x Count=3 Reserve=10\n"},
        {"Set-VMProcessor \"$('a' + 'b')\" -Count (1 + 1)", "Set-VMProcessor Count=2 VMName=ab\n"},
        {"$n = 'x'; Set-VMProcessor $n-1 -Count 2; Set-VMProcessor pre$n -Count 2",
         "Set-VMProcessor Count=2 VMName=x-1\nSet-VMProcessor Count=2 VMName=prex\n"},
    };
    check(lines, ARRAY_SIZE(lines));
}

static void refusals(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"Set-VMProcessor -Count 2", "MissingMandatoryParameter"},
        {"Set-VMProcessor x -Count", "MissingArgument"},
        {"Set-VMProcessor x -Count -Reserve 5", "MissingArgument"},
        {"Set-VMProcessor x -Foo 1", "NamedParameterNotFound"},
        {"Set-VMProcessor x -Compat $true", "AmbiguousParameter"},
        {"Set-VMProcessor x -Count 1 -Count 2", "ParameterAlreadyBound"},
        {"Set-VMProcessor x y", "PositionalParameterNotFound"},
        {"Set-VMProcessor x -Count 0", "ParameterArgumentValidationError"},
        {"Set-VMProcessor x -Count many", "CannotConvertArgumentNoMessage"},
        {"Set-VMProcessor x -ExposeVirtualizationExtensions maybe", "ParameterArgumentTransformationError"},
        {"Set-VMProcessor x -Vendor Cyrix", "CannotConvertArgumentNoMessage"},
        {"Set-VMProcessor -VMProcessor x", "CannotConvertArgumentNoMessage"},
        {"Set-VMProcessor ''", "ParameterArgumentValidationErrorEmptyStringNotAllowed"},
        {"Set-VMProcessor $null", "ParameterArgumentValidationErrorNullNotAllowed"},
        {"$m = Get-VMMemory lab1; Set-VMMemory -VMName x -VMMemory $m", "AmbiguousParameterSet"},
        {"@{a = 1} | Get-VMMemory", "InputObjectNotBound"},
        {"netsh interface ip add dnsserver", "NetshUsage"},
        {"netsh interface ip show config", "NetshUsage"},
        {"netsh interface ip add dnsserver Ethernet 10.0.0.1 168.100.1", "NetshUsage"},
        {"netsh interface ip add dnsserver Ethernet foo=10.0.0.1", "NetshUsage"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct fake fake;
        fake_start(&fake, 0);
        assert_int_equal(session_run(fake.session, NULL, lines[i].script), 1);
        char *wanted = value_text("[%s,", lines[i].requests);
        if (!strstr(fake.errors, wanted))
            print_error("%s\n  gives  %s\n", lines[i].script, fake.errors);
        assert_non_null(strstr(fake.errors, wanted));
        free(wanted);
        fake_stop(&fake);
    }
}

static void paths_are_absolute(void **state)
{
    (void)state;
    static const struct { const char *given, *path; } cases[] = {
        {"a", "/work/a"}, {"./a/../b", "/work/b"}, {"/x//y/.", "/x/y"}, {"~/d", "/home/me/d"}, {"~", "/home/me"},
        {"../..", "/"}, {"/", "/"}, {"../../../etc", "/etc"},
    };
    const struct parameter parameter = {.name = "Path", .type = PARAMETER_PATH};
    const struct bind_context context = {.directory = "/work", .home = "/home/me"};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct bind_error error;
        struct value *given = value_string(cases[i].given),
            *path = bind_convert(&parameter, given, NULL, &context, true, &error);
        assert_string_equal(path->string, cases[i].path);
        value_unref(given);
        value_unref(path);
    }
}

static void versions_keep_their_spelling(void **state)
{
    (void)state;
    static const struct { const char *text, *version; } cases[] = {{"8.0", "8.0"}, {"10.0", "10.0"}, {"8", "8.0"},
                                                                   {"100.0", "100.0"}};
    const struct parameter parameter = {.name = "Version", .type = PARAMETER_VERSION};
    const struct bind_context context = {0};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct bind_error error;
        struct value *real = value_real(strtod(cases[i].text, NULL));
        struct value *version = bind_convert(&parameter, real, cases[i].text, &context, true, &error);
        assert_string_equal(version->string, cases[i].version);
        value_unref(real);
        value_unref(version);
    }
    struct bind_error error;
    struct value *word = value_string("new");
    assert_null(bind_convert(&parameter, word, NULL, &context, true, &error));
    value_unref(word);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents),
        cmocka_unit_test(documents_addresses),
        cmocka_unit_test(names_and_positions),
        cmocka_unit_test(refusals),
        cmocka_unit_test(paths_are_absolute),
        cmocka_unit_test(versions_keep_their_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
