// The command language from text to effect: scripts and what comes out of them, with a service that answers from
// memory.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cmdlet_session.h"

struct line {
    const char *script, *output; // output: lines that end with "\n"; "" none
};

static void check(const struct line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct fake fake;
        fake_start(&fake, 100000);
        int failed = session_run(fake.session, NULL, lines[i].script);
        const char *output = fake.output ? fake.output : "";
        if (failed || strcmp(output, lines[i].output) != 0)
            print_error("%s\n  gives   %s  errors  %s\n", lines[i].script, output,
                        fake.errors ? fake.errors : "none\n");
        assert_string_equal(output, lines[i].output);
        assert_int_equal(failed, 0);
        fake_stop(&fake);
    }
}

static void expressions(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"1 + 2 * 3", "7\n"},
        {"(1 + 2) * 3", "9\n"},
        {"7 / 2; 8 / 2; 7 % 4; -7 + 2", "3.5\n4\n3\n-5\n"},
        {"4GB; 1.5kb; 0x1F; 2mb + 1; 1e3", "4294967296\n1536\n31\n2097153\n1000\n"},
        {"9223372036854775807 + 1", "9.223372036854776e+18\n"},
        {"'a' + 1; 'ab' * 3; 1 + '2'", "a1\nababab\n3\n"},
        {"1, 2 + 3", "1\n2\n3\n"},
        {"1..4; 3..1", "1\n2\n3\n4\n3\n2\n1\n"},
        {"@(); @(1); ,1; @(1, 2).Count; (1..10).Length", "1\n1\n2\n10\n"},
        {"$x = 5; \"a $x $($x * 2) `$x ${x}b `\"q`\" \"\"d\"\"\"", "a 5 10 $x 5b \"q\" \"d\"\n"},
        {"'it''s' ; 'no $x here'", "it's\nno $x here\n"},
        {"\"$('nested \"quotes\"')\"", "nested \"quotes\"\n"},
        {"@'\na 'b' $c\n  d\n'@", "a 'b' $c\n  d\n"},
        {"$c = 1; @\"\na \"b\" $c\n\"@", "a \"b\" 1\n"},
        {"\xe2\x80\x9c" "curly\xe2\x80\x9d; \xe2\x80\x98single\xe2\x80\x99; 5 \xe2\x80\x93 3", "curly\nsingle\n2\n"},
        {"1 -eq 1; 'A' -eq 'a'; 'A' -ceq 'a'; 'a' -ne 'b'; 2 -gt 1; 1 -ge 2; 1 -lt 2; 2 -le 2",
         "True\nTrue\nFalse\nTrue\nTrue\nFalse\nTrue\nTrue\n"},
        {"1, 2, 3, 2 -eq 2", "2\n2\n"},
        {"'lab1' -like 'LAB*'; 'lab' -notlike '*b'; 'abc' -match 'B(.)'; $Matches[1]; 'x' -notmatch 'y'",
         "True\nFalse\nTrue\nc\nTrue\n"},
        {"'a-b' -match '(?<l>\\w)-(?<r>\\w)'; \"$($Matches.l)$($Matches.r)\"", "True\nab\n"},
        {"2 -in 1, 2; 1, 2 -contains 3; 3 -notin 1, 2; 'a', 'b' -notcontains 'A'", "True\nFalse\nTrue\nFalse\n"},
        {"'a1b22' -replace '\\d+', '<$0>'; 'abc' -replace 'b'; 'x.y' -replace '\\.', '-'", "a<1>b<22>\nac\nx-y\n"},
        {"'a,b,,c' -split ','; ('a b  c' -split ' +').Count; 'a,b,c' -split ',', 2; -split ' x  y '",
         "a\nb\n\nc\n3\na\nb,c\nx\ny\n"},
        {"'abc' -split ''", "a\nb\nc\n"},
        {"1, 2, 3 -join '-'; -join ('a', 'b')", "1-2-3\nab\n"},
        {"'{0} has {1:N2} GB, {2,5}|{2,-5}|{{}}' -f 'lab', 1234.5, 'x'; '{0:D3} {0:X}' -f 10",
         "lab has 1,234.50 GB,     x|x    |{}\n010 A\n"},
        {"$true -and $false; $true -or $x; -not 0; !1; $true -xor $true; 6 -band 3; 6 -bor 1; 5 -bxor 1",
         "False\nTrue\nTrue\nFalse\nFalse\n2\n7\n4\n"},
        {"5 -is [int]; 'a' -is [string]; 5 -isnot [string]; '7' -as [int]; [int]'12' + 1; [string]5 + 1; [bool]1",
         "True\nTrue\nTrue\n7\n13\n51\nTrue\n"},
        {"[int[]]('1', '2') -join '+'; [timespan]'01:30:00'; ([timespan]'01:30:00').TotalMinutes",
         "1+2\n01:30:00\n90\n"},
        {"$a = 1, 2, 3; $a[0]; $a[-1]; $a[0, 2]; $a[5]; 'hello'[1]; $a.Count; $null.Count", "1\n3\n1\n3\ne\n3\n0\n"},
        {"$h = @{Name = 'x'; 'Two' = 2\n Three = 1 + 2 }; $h.name; $h['two']; $h.Three; $h.Keys -join ','; $h.Count",
         "x\n2\n3\nName,Two,Three\n3\n"},
        {"' a '.Trim().ToUpper() + 'B'.ToLower(); 'a,b'.Split(',')[1]; 'aXa'.Replace('a', 'b'); "
         "'abc'.StartsWith('ab'); 'abc'.Contains('z'); 'abcdef'.Substring(2, 3); (5).ToString(); 'abc'.Length; "
         "'ab'.PadLeft(4); 'abc'.IndexOf('c')",
         "Ab\nb\nbXb\nTrue\nFalse\ncde\n5\n3\n  ab\n2\n"},
        {"(Get-Date).Year; (Get-Date).AddDays; Get-Date -Format 'yyyy-MM-dd HH:mm'", "2000\n2000-01-01 00:00\n"},
    };
    check(lines, ARRAY_SIZE(lines));
}

static void statements(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"if (1 -gt 2) { 'a' } elseif ($true) { 'b' } else { 'c' }", "b\n"},
        {"if (0) { 'a' }\nelse\n{ 'c' }", "c\n"},
        {"foreach ($i in 1..5) { if ($i -eq 2) { continue } if ($i -eq 4) { break } $i }", "1\n3\n"},
        {"for ($i = 0; $i -lt 3; $i++) { $i }", "0\n1\n2\n"},
        {"$i = 0; while ($true) { $i += 2; if ($i -gt 5) { break } }; $i", "6\n"},
        {"$i = 3; do { $i; $i-- } until ($i -le 1)", "3\n2\n"},
        {"switch ('b') { 'a' { 1 } 'b' { 2 } default { 3 } }; switch (9) { 1 { 1 } default { 'd' } }", "2\nd\n"},
        {"switch -Wildcard ('lab1', 'web') { 'lab*' { \"L$_\" } { $_.Length -eq 3 } { 'three' } }", "Llab1\nthree\n"},
        {"try { throw 'oops'; 'no' } catch { \"caught $_ $($_.Exception.Message)\" } finally { 'end' }",
         "caught oops oops\nend\n"},
        {"try { nothing-here } catch { $_.FullyQualifiedErrorId }", "CommandNotFoundException\n"},
        {"try { 1 / 0 } catch { 'div' }; try { try { throw 'a' } finally { 'f' } } catch { \"$_\" }", "div\nf\na\n"},
        {"function Add([int]$a, $b = 10) { $a + $b }; Add 1 2; Add 5; Add -b 1 -a 2", "3\n15\n3\n"},
        {"function Twice { param([Parameter(Mandatory = $true)][string]$Text, [switch]$Upper) $t = $Text * 2; "
         "if ($Upper) { return $t.ToUpper() } $t }; Twice ab; Twice ab -Upper", "abab\nABAB\n"},
        {"function Sum { $s = 0; foreach ($x in $input) { $s += $x }; $s }; 1..4 | Sum", "10\n"},
        {"function Fact($n) { if ($n -le 1) { 1 } else { $n * (Fact ($n - 1)) } }; Fact 10", "3628800\n"},
        {"$x = 1; function F { $x = 2; $global:y = 3 }; F; $x; $y", "1\n3\n"},
        {"$b = { param($p) \"<$p>\" }; & $b 5; & { 'called' }", "<5>\ncalled\n"},
        {"$a, $b = 1, 2, 3; $a; $b.Count; ($c = 5); $c += 2; $c; $s = 'x'; $s += 'y'; $s", "1\n2\n5\n7\nxy\n"},
        {"$h = @{}; $h.a = 1; $h['b'] = 2; $g = $h; $g.a = 5; \"$($h.a) $($g.a) $($h.b)\"; $l = 1, 2; $l[1] = 9; $l[1]",
         "1 5 2\n9\n"},
        {"# comment\n1 <# in\nside #> + 2 # end\n", "3\n"},
        {"1 `\n + 2", "3\n"},
        {"$p = @{Property = 'Name'}; Get-VMMemory lab1 | Select-Object @p | ConvertTo-Json -Compress",
         "{\"Name\":\"lab1\"}\n"},
        {"$x = if ($true) { 5 }; $x; $y = foreach ($i in 1..2) { $i * 2 }; $y -join ','", "5\n2,4\n"},
        {"$ErrorActionPreference; $?; $env:HOME; $null -eq $undefined", "Continue\nTrue\n/home/me\nTrue\n"},
    };
    check(lines, ARRAY_SIZE(lines));
}

static void pipelines(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"Get-VMMemory * | Where-Object State -eq Off | Select-Object -ExpandProperty Name", "lab2\nweb\n"},
        {"Get-VMMemory * | ? { $_.MemoryStartup -gt 1GB -and $_.Name -like 'lab*' } | % Name", "lab1\n"},
        {"Get-VMMemory * | where Name -Match '^l' | measure | % Count", "2\n"},
        {"Get-VMMemory * | Sort-Object MemoryStartup -Descending | % { $_.Name }", "lab1\nweb\nlab2\n"},
        {"3, 1, 2, 1 | sort -Unique; 'b', 'A' | sort", "1\n2\n3\nA\nb\n"},
        {"Get-VMMemory * | Group-Object State | % { \"$($_.Name) $($_.Count)\" }", "Running 1\nOff 2\n"},
        {"(Get-VMMemory * | Measure-Object MemoryStartup -Sum -Maximum -Minimum -Average).Sum / 1GB", "7\n"},
        {"Get-VMMemory lab1 | select name, vmNAME | ConvertTo-Csv", "\"Name\",\"VMName\"\n\"lab1\",\"lab1\"\n"},
        {"Get-VM lab* -PipelineVariable vm | Get-VMMemory | % { \"$($vm.Name) $($_.Name)\" } | select -first 1",
         "lab1 lab1\n"},
        {"Get-VM lab1 -ov x | Out-Null; Get-VM web -OutVariable +x | Out-Null; $x.Name", "lab1\nweb\n"},
        {"Stop-Job 7 -ErrorAction 0; Get-VMMemory gone -ea 4; Write-Warning w -wv w -wa 0; $w", "w\n"},
        {"(Get-VM lab1 -ComputerName ., LOCALHOST -CimSession $null).Name; (Get-VM web -Comp $env:COMPUTERNAME).Name",
         "lab1\nweb\n"},
        {"(Set-VMMemory -? | Out-String) -match 'SYNOPSIS'; @(Set-VM -Nonsense -?).Count", "True\n1\n"},
        // What an object does not carry is asked for when it is read.
        {"$vm = Get-VM lab1; $vm.NetworkAdapters.Count; $vm.networkadapters[1].Name; $vm.ComPort2.Name",
         "3\nlab2\nlab1\n"},
        {"Get-VM lab1 | select name, harddrives | % { $_.psobject; $_.HardDrives.Count }", "3\n"},
        {"Get-VM lab1 | select -exp DVDDrives | % Name; (Get-VM lab*).HardDrives.Count; (Get-VM lab1).Nonsense",
         "lab1\nlab2\nweb\n6\n"},
        {"Get-VM | ? { $_.NetworkAdapters.Name -contains 'web' } | measure | % Count", "3\n"},
        {"Join-Path /srv/ a 'b\\c'; Join-Path / x; '/a/b.c.d', 'x' | Split-Path; Split-Path /a/b.c.d -Leaf",
         "/srv/a/b/c\n/x\n/a\n\nb.c.d\n"},
        {"Split-Path /a/b.c.d -LeafBase; Split-Path 'C:\\x\\y.vhdx' -Extension; Split-Path /a; "
         "Split-Path a -IsAbsolute", "b.c\n.vhdx\n/\nFalse\n"},
        {"(New-TimeSpan -Days 1 -Hours 2).TotalHours; New-TimeSpan -End 2000-01-01T00:01:00Z; "
         "(New-TimeSpan 1999-12-31T23:00:00Z).TotalMinutes", "26\n00:01:00\n60\n"},
        {"(Get-Module Hyper-*).Name; (Get-Module -ListAvailable nope).Count; (gmo NetNat).ExportedCommands -contains "
         "'New-NetNat'; (Get-Alias -Definition Get-VM).Name", "Hyper-V\n0\nTrue\ngvm\n"},
        {"'a,\"b,\"\"c\"', '1,\"x\"\"y\"', '', '2' | ConvertFrom-Csv | % { \"$($_.a) $($_.'b,\"c')\" }",
         "1 x\"y\n2 \n"},
        {"'x;y' | ConvertFrom-Csv -Delimiter ';' -Header p, q | % { $_.q + $_.p }; (Import-Csv lines).one",
         "yx\ntwo\n"},
        {"(New-Object PSObject -Property @{a = 1}).a; (pwd).Path", "1\n/work\n"},
        // Strictness: what was never set, what is not there.
        {"Set-StrictMode -Version Latest; $x = $null; $x; 'ab' -match 'b' | % { $Matches[0] }; "
         "function f($a) { \"[$a]\" }; f; foreach ($i in 1) { $i }; $env:NONE; 1 | % { $_ }; "
         "(Get-VM lab1).ComPort1.Name; Set-StrictMode -Off; $y",
         "b\n[]\n1\n1\nlab1\n"},
        // What [Parameter()] says of a function's parameters.
        {"function F { param([Parameter(Mandatory, ValueFromPipeline = $true)][string]$n, $s) process { \"$n$s\" } }; "
         "'x', 'y' | F -s 1; F z", "x1\ny1\nz\n"},
        {"function G { param([Parameter(ValueFromPipelineByPropertyName)]$Name, "
         "[Parameter(ValueFromPipeline=$false)]$q) process { \"$Name$q\" } }; Get-VMMemory lab* | G; Get-VMMemory lab1 | G -Name own", "lab1\nlab2\nown\n"},
        {"function H { param([Parameter(ValueFromPipeline)]$v) $v }; 1..3 | H; @{b = 1}.GetEnumerator() | % { $_.Key }",
         "3\nb\n"},
        {"Get-VMMemory lab1 | select Name, @{n = 'GiB'; e = { $_.MemoryStartup / 1GB }} | ConvertTo-Csv",
         "\"Name\",\"GiB\"\n\"lab1\",\"4\"\n"},
        {"1..10 | select -First 2; 1..10 | select -Last 2; 1..5 | select -Skip 3; 1, 1, 2 | select -Unique",
         "1\n2\n9\n10\n4\n5\n1\n2\n"},
        {"1..3 | ForEach-Object -Begin { 'b' } -Process { $_ * 2 } -End { 'e' }", "b\n2\n4\n6\ne\n"},
        {"'a' | ForEach-Object ToUpper; (Get-VMMemory *).Name -join ','", "A\nlab1,lab2,web\n"},
        {"'[1,{\"a\":true}]' | ConvertFrom-Json | % { \"$($_.a)|\" }; @{a = 1} | ConvertTo-Json -Compress",
         "|\nTrue|\n{\"a\":1}\n"},
        {"Write-Output 1 2; echo a b; 1, 2 | Out-Null", "1\n2\na\nb\n"},
        {"$v = Get-VMMemory lab1; $v.Name; (Get-VMMemory web).State; Get-VMMemory * | Tee-Object -Variable all | "
         "Out-Null; $all.Count",
         "lab1\nOff\n3\n"},
        {"Get-VMMemory * -OutVariable o | Out-Null; $o.Count", "3\n"},
        {"Get-Content lines; (Get-Content ./lines -Raw).Length; Test-Path lines, nope", "one\ntwo\n9\nTrue\nFalse\n"},
        {"Set-Variable x 5; $x; (Get-Variable x).Value; Get-Variable x -ValueOnly", "5\n5\n5\n"},
        {"(Get-VMMemory lab1 | Get-Member | select -First 1).Name", "Name\n"},
        {"'x' | Out-String; 'a b' | Out-String -Stream", "x\n\na b\n"},
        {"Write-Error 'bad' -ErrorAction SilentlyContinue; $Error[0].Exception.Message; $?", "bad\nTrue\n"},
        {"Get-VMMemory gone -ErrorAction SilentlyContinue -ErrorVariable e; $?; \"$e\"; $e[0].FullyQualifiedErrorId",
         "False\nThere is no virtual machine 'gone'.\n"
         "InvalidParameter,Microsoft.HyperV.PowerShell.Commands.GetVMMemory\n"},
        {"try { Get-VMMemory gone -ErrorAction Stop; 'no' } catch { \"caught: $_\" }",
         "caught: There is no virtual machine 'gone'.\n"},
        {"Get-VMMemory gone 2>$null; Get-VMMemory gone 2>&1 | % { \"E $_\" }",
         "E There is no virtual machine 'gone'.\n"},
    };
    check(lines, ARRAY_SIZE(lines));
}

static void effects(void **state)
{
    (void)state;
    struct fake fake;
    fake_start(&fake, 0);
    assert_int_equal(session_run(fake.session, NULL, "'a', 'b' > out.txt"), 0);
    assert_string_equal(fake.file, "/work/out.txt: a\nb\n");
    assert_int_equal(session_run(fake.session, NULL, "1..2 | Out-File ~/x -Append; Write-Host a b; Write-Warning w"),
                     0);
    assert_string_equal(fake.file, "/home/me/x+: 1\n2\n");
    assert_string_equal(fake.texts, "a b\nw\n");
    assert_int_equal(session_run(fake.session, NULL, "'a' > /full"), 1);
    assert_non_null(strstr(fake.errors, "the disk is full"));
    assert_int_equal(session_run(fake.session, NULL, "Get-VM lab1 | select Name, State | Export-Csv -Path lines"), 0);
    assert_string_equal(fake.file, "/work/lines: \"Name\",\"State\"\n\"lab1\",\"Running\"\n");
    assert_int_equal(session_run(fake.session, NULL, "Get-VM lab1 | select Name | Export-Csv lines -Append"), 0);
    assert_string_equal(fake.file, "/work/lines+: \"lab1\"\n"); // which is there, with its head
    assert_int_equal(session_run(fake.session, NULL, "Start-Sleep 2; Write-Output done >> log; 1 > $null"), 0);
    assert_string_equal(fake.file, "/work/log+: done\n");
    assert_int_equal(fake.slept, 2000);
    fake_stop(&fake);
}

static void preferences(void **state)
{
    (void)state;
    struct fake fake;
    fake_start(&fake, 0);
    assert_int_equal(session_run(fake.session, NULL, "Set-VMMemory lab1 -Buffer 20 -WhatIf"), 0);
    assert_string_equal(fake.requests, "Set-VMMemory Buffer=20 VMName=lab1 (what if)\n");
    assert_string_equal(fake.texts, "Set-VMMemory\n");
    fake_clear(&fake);
    assert_int_equal(session_run(fake.session, NULL, "Set-VMMemory lab1 -Buffer 20 -Confirm"), 0);
    assert_null(fake.requests);
    assert_int_equal(fake.asked, 1);
    fake.answer = SESSION_YES_ALL;
    assert_int_equal(session_run(fake.session, NULL, "1..3 | % { Set-VMMemory lab1 -Buffer 20 -Confirm }"), 0);
    assert_int_equal(fake.asked, 2);
    fake_clear(&fake);
    // Nothing stops at an error but its statement, unless told to.
    assert_int_equal(session_run(fake.session, NULL, "Get-VMMemory gone; 'next'; nonsense; 'last'"), 1);
    assert_string_equal(fake.output, "next\nlast\n");
    fake_clear(&fake);
    assert_int_equal(session_run(fake.session, NULL, "$ErrorActionPreference = 'Stop'; Get-VMMemory gone; 'next'"), 1);
    assert_null(fake.output);
    fake_clear(&fake);
    assert_int_equal(session_run(fake.session, NULL, "function F { throw 'x'; 1 }; F; 'next'"), 1);
    assert_null(fake.output);
    fake_stop(&fake);
}

static void errors_have_places(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"Set-VMProcessor -VMName x -Foo 1",
         "Set-VMProcessor: A parameter cannot be found that matches parameter name 'Foo'. "
         "[NamedParameterNotFound,Microsoft.HyperV.PowerShell.Commands.SetVMProcessor] 1:27+4\n"},
        {"\n\n  Set-VMMemory \xe2\x80\x9c\xc3\xa4\xe2\x80\x9d -Buffer 5000",
         "Set-VMMemory: Cannot validate argument on parameter 'Buffer'. The 5000 argument is greater than the maximum "
         "allowed range of 2000. Supply an argument that is less than or equal to 2000 and then try the command again. "
         "[ParameterArgumentValidationError,Microsoft.HyperV.PowerShell.Commands.SetVMMemory] 3:28+4\n"},
        {"Get-VM -ComputerName far", "Get-VM: 'far' is not the host whose service this is. `nidus --server "
         "https://far:PORT` speaks to the service of another one. "
         "[InvalidParameter,Microsoft.HyperV.PowerShell.Commands.GetVM] 1:1+24\n"},
        {"Set-StrictMode -Version 1.0; (Get-VM lab1).Nope; $nope", "-: The variable '$nope' cannot be retrieved "
         "because it has not been set. [VariableIsUndefined] 1:50+5\n"},
        {"Set-StrictMode -Version 2.0; \"$((Get-VM lab1).Nope)\"", "-: The property 'Nope' cannot be found on this "
         "object. Verify that the property exists. [PropertyNotFoundStrict] 1:33+18\n"},
        {"Set-StrictMode -Off; function F { param([Parameter(Mandatory=$true)]$n) 1 }; F", "-: Cannot process command "
         "because of one or more missing mandatory parameters: n. [MissingMandatoryParameter] 1:1+1\n"},
        {"New-Object System.Net.WebClient", "New-Object: Cannot find type [System.Net.WebClient]: of .NET's there is "
         "none here. PSObject can be made. [TypeNotFound,Microsoft.PowerShell.Commands.NewObjectCommand] 1:1+31\n"},
        {"if (1 { 2 }", "-: Unexpected '{': ')' was expected. [MissingEndParenthesis] 1:7+1\n"},
        {"'abc", "-: The string is missing the terminator: '. [TerminatorExpectedAtEndOfString] 1:1+1\n"},
        {"Set-VMProcesor x", "Set-VMProcesor: The term 'Set-VMProcesor' is not recognized as the name of a cmdlet, "
         "function or script. Did you mean Set-VMProcessor? [CommandNotFoundException] 1:1+14\n"},
        {"Start-VMFailover x", "Start-VMFailover: Start-VMFailover is a cmdlet of Hyper-V that nidus does not have. "
         "[NotImplemented,Microsoft.HyperV.PowerShell.Commands.StartVMFailover] 1:1+18\n"},
        {"1 / 0", "-: Attempted to divide by zero. [RuntimeException] 1:1+5\n"},
        {"'a' -match '('", "-: The regular expression pattern ( is not valid: missing closing parenthesis at character "
         "1. [InvalidRegularExpression] 1:1+14\n"},
        {"$null.Foo()", "-: You cannot call a method on a null-valued expression. [InvokeMethodOnNull] 1:1+11\n"},
        {"$true = 1", "-: Cannot overwrite variable true because it is constant. [VariableNotWritable] 1:1+1\n"},
        {"function F { F }; F", "-: The script calls itself too deeply. [CallDepthOverflow] 1:1+1\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct fake fake;
        fake_start(&fake, 0);
        assert_int_equal(session_run(fake.session, NULL, lines[i].script), 1);
        assert_string_equal(fake.errors, lines[i].output);
        fake_stop(&fake);
    }
}

static void work_has_bounds(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "while ($true) { }",
        "$s = 'x'; while ($true) { $s += $s }",
        "$a = 1; while ($true) { $a = $a, $a }",
        "1..100000000", "'x' * 1000000000", "1..1000000 | ForEach-Object { while (1) { } }",
        "('a' * 30) -match '(a+)+b'; ('a' * 200000) -replace 'a', ('b' * 100000); while (1) {}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
        struct fake fake;
        fake_start(&fake, 20000);
        assert_int_equal(session_run(fake.session, NULL, scripts[i]), 1);
        fake_stop(&fake);
    }
}

static void incomplete_input_is_known(void **state)
{
    (void)state;
    assert_true(session_incomplete("if ($true) {"));
    assert_true(session_incomplete("'abc"));
    assert_true(session_incomplete("\"abc"));
    assert_true(session_incomplete("@'\nabc"));
    assert_true(session_incomplete("Get-VM |"));
    assert_true(session_incomplete("@{ a = 1"));
    assert_true(session_incomplete("foo ("));
    assert_true(session_incomplete("<# abc"));
    assert_false(session_incomplete("Get-VM"));
    assert_false(session_incomplete("if ) {"));
    assert_false(session_incomplete(""));
}

static void words_bind_as_arguments(void **state)
{
    (void)state;
    struct fake fake;
    fake_start(&fake, 0);
    const char *const set[] = {"set-vmprocessor", "-vmname", "my lab; $x | 'y'", "-Expose", "$true", "-Count:2"};
    assert_int_equal(session_run_words(fake.session, ARRAY_SIZE(set), set), 0);
    assert_string_equal(fake.requests, "Set-VMProcessor VMName=my lab; $x | 'y' ExposeVirtualizationExtensions=True "
                        "Count=2\n");
    fake_clear(&fake);
    const char *const memory[] = {"Set-VMMemory", "a,b", "-StartupBytes", "2GB"};
    assert_int_equal(session_run_words(fake.session, ARRAY_SIZE(memory), memory), 0);
    assert_string_equal(fake.requests, "Set-VMMemory StartupBytes=2147483648 VMName=a b\n");
    fake_clear(&fake);
    const char *const spaced[] = {"Set-VMMemory", "a,", "b,", "c", "-StartupBytes", "2GB"};
    assert_int_equal(session_run_words(fake.session, ARRAY_SIZE(spaced), spaced), 0);
    assert_string_equal(fake.requests, "Set-VMMemory StartupBytes=2147483648 VMName=a b c\n");
    fake_clear(&fake);
    const char *const wrong[] = {"Set-VMMemory", "my lab", "-Bogus", "1"};
    assert_int_equal(session_run_words(fake.session, ARRAY_SIZE(wrong), wrong), 1);
    assert_non_null(strstr(fake.errors, "1:23+6"));
    const char *const broken[] = {"Set-VMMemory", "\xff"};
    assert_int_equal(session_run_words(fake.session, ARRAY_SIZE(broken), broken), 1);
    fake_stop(&fake);
}

static void errors_in_loops_are_cheap(void **state)
{
    (void)state;
    struct fake fake;
    fake_start(&fake, 100000);
    assert_int_equal(session_run(fake.session, NULL, "while ($true) { Get-VN }"), 1);
    unsigned told = 0, hinted = 0;
    for (const char *at = fake.errors; (at = strstr(at, "is not recognized")); at++)
        told++;
    for (const char *at = fake.errors; (at = strstr(at, "Did you mean Get-VM?")); at++)
        hinted++;
    assert_in_range(told, 1000, 100000 / 16);
    assert_int_equal(hinted, 16);
    fake_stop(&fake);
}

static void types_have_members(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"[int]::MaxValue; [long]::MinValue; [System.Int32]::MinValue",
         "2147483647\n-9223372036854775808\n-2147483648\n"},
        {"[math]::Max(1, 2.5); [Math]::Min(3, 2); [math]::Abs(-5); [math]::Pow(2, 10)", "2.5\n2\n5\n1024\n"},
        {"[math]::Round(2.5); [math]::Round(3.5); [math]::Round(2.567, 2); [math]::Floor(-1.5); [math]::Ceiling(1.1)",
         "2\n4\n2.57\n-2\n2\n"},
        {"[math]::Round(4GB / 3, 1) / 2 + 1", "715827883.65\n"},
        {"[string]::IsNullOrEmpty(''); [string]::IsNullOrWhiteSpace(\" a \"); [string]::Join('-', (1, 2)); "
         "\"<$([string]::Empty)>\"", "True\nFalse\n1-2\n<>\n"},
        {"([datetime]'2000-02-28').AddDays(1.5); [datetime]::Parse('1/2/2000').DayOfWeek; "
         "[datetime]::Today -le (Get-Date)",
         "2000-02-29T12:00:00Z\nSunday\nTrue\n"},
        {"Import-Module Hyper-V, NetNat -Force; 'Hyper-V' | Import-Module; "
         "try { Import-Module None -ErrorAction Stop } catch { $_.FullyQualifiedErrorId -like "
         "'Modules_ModuleNotFound*' }", "True\n"},
        {"[datetime]::Now.Year; [IO.Path]::Combine('/a', 'b'); [System.IO.Path]::GetFileName('/a/b.vhdx')",
         "2000\n/a/b\nb.vhdx\n"},
        {"[int]::Parse('5') + 1; [Environment]::GetEnvironmentVariable('HOME')", "6\n/home/me\n"},
        {"try { [math]::Round(1, 99) } catch { 'out' }; try { [foo]::x } catch { 'none' }; "
         "try { [math]::Max(1) } catch { 'few' }", "out\nnone\nfew\n"},
    };
    check(lines, ARRAY_SIZE(lines));
}

static void blocks_have_parts(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"function f { begin { 'b' } process { $_ * 2 } end { 'e' } }; 1, 2 | f", "b\n2\n4\ne\n"},
        {"function f($x) { process { \"$x$_\" } }; 1, 2 | f a; @() | f a", "a1\na2\n"},
        {"function f { param($x) begin { $x } end { 'e' } }; f 5", "5\ne\n"},
        {"1..3 | & { process { if ($_ -eq 2) { return }; $_ } end { 'e' } }", "1\n3\ne\n"},
        {"1..3 | ForEach-Object -Begin { $s = 0 } -Process { $s += $_ } -End { $s }", "6\n"},
    };
    check(lines, ARRAY_SIZE(lines));
}

static void errors_are_caught_by_type(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"try { Set-VMProcessor gone -Count 1 -ErrorAction Stop } catch [a.b] { 'no' } catch [VirtualizationException] "
         "{ 'hv' }", "hv\n"},
        {"try { throw 'x' } catch [System.Exception] { \"all $_\" } catch { 'never' }", "all x\n"},
        {"try { try { throw 'x' } catch [a.b], [c] { 'no' } finally { 'f' } } catch { \"outer $_\" }", "f\nouter x\n"},
        {"try { Get-Nothing } catch [System.Management.Automation.CommandNotFoundException] { 'cmd' }", "cmd\n"},
    };
    check(lines, ARRAY_SIZE(lines));
}

static void exit_says_the_status(void **state)
{
    (void)state;
    struct fake fake;
    fake_start(&fake, 100000);
    assert_int_equal(session_run(fake.session, NULL, "1; foreach ($i in 1..3) { if ($i -eq 2) { exit 7 }; $i }; 9"), 7);
    assert_string_equal(fake.output, "1\n1\n");
    assert_true(session_exited(fake.session));
    assert_int_equal(session_run(fake.session, NULL, "function f { exit }; try { f } catch { 2 }; 3"), 0);
    assert_int_equal(session_run(fake.session, NULL, "exit 300"), 300 & 0xff);
    assert_int_equal(session_run(fake.session, NULL, "4; $LASTEXITCODE"), 0);
    assert_false(session_exited(fake.session));
    assert_null(fake.errors);
    fake_stop(&fake);
}

static void scripts_take_parameters(void **state)
{
    (void)state;
    static const char script[] = "# what it is for\n[CmdletBinding()]\nparam(\n"
        "  [Parameter(Mandatory)] [string] $Name,\n"
                                 "  [int]$Count = 2,\n  [switch]$Fast\n)\n\"$Name $Count $Fast $($args.Count)\"\n";
    struct fake fake;
    fake_start(&fake, 100000);
    const char *const words[] = {"-Name", "lab", "-Fast", "5", "more"};
    assert_int_equal(session_run_script(fake.session, "a.ps1", script, 5, words), 0);
    assert_string_equal(fake.output, "lab 5 True 1\n");
    fake_clear(&fake);
    const char *const few[] = {"web"};
    assert_int_equal(session_run_script(fake.session, "a.ps1", script, 1, few), 0);
    assert_string_equal(fake.output, "web 2 False 0\n");
    fake_clear(&fake);
    const char *const wrong[] = {"web", "many"};
    assert_int_equal(session_run_script(fake.session, "a.ps1", script, 2, wrong), 1);
    assert_null(fake.output);
    fake_clear(&fake);
    assert_int_equal(session_run_script(fake.session, "a.ps1", "$args", 2, wrong), 0);
    assert_string_equal(fake.output, "web\nmany\n");
    fake_stop(&fake);
}

static void consoles_by_their_window(void **state)
{
    (void)state;
    struct fake fake;
    fake_start(&fake, 100000);
    assert_int_equal(session_run(fake.session, NULL, "vmconnect localhost lab; vmconnect lab; vmconnect.exe . 'a b'"),
                     0);
    assert_string_equal(fake.requests, "Connect-VM VMName=lab\nConnect-VM VMName=lab\nConnect-VM VMName=a b\n");
    assert_int_equal(session_run(fake.session, NULL, "vmconnect far lab"), 1);
    assert_non_null(strstr(fake.errors, "log in at 'far'"));
    fake_stop(&fake);
}

static void jobs_go_on_beside(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"$j = Start-VM lab -AsJob; $j.Name; $j.State; $j.Command; $j.PSJobTypeName",
         "Job1\nCompleted\nStart-VM\nVMJob\n"},
        {"Start-VM lab -AsJob | Out-Null; Stop-VM lab -AsJob | Out-Null; (Get-Job).Count; (Get-Job 2).Command; "
         "(Get-Job -Name Job*).Count", "2\nStop-VM\n2\n"},
        {"(Start-VM lab -AsJob | Wait-Job).State; Get-Job | Remove-Job; (Get-Job).Count", "Completed\n0\n"},
        {"$j = Start-VM bad -AsJob; $j.State; $j.HasMoreData; try { Receive-Job $j -ErrorAction Stop } catch "
         "{ $_.Exception.Message }; $j.HasMoreData", "Failed\nTrue\n'bad' failed to start.\nFalse\n"},
        {"Start-VM bad -AsJob | Receive-Job -Keep -ErrorAction SilentlyContinue; $Error.Count; "
         "Get-Job | Receive-Job -AutoRemoveJob -ErrorAction SilentlyContinue; $Error.Count; (Get-Job).Count",
         "1\n2\n0\n"},
    };
    check(lines, ARRAY_SIZE(lines));
    struct fake fake;
    fake_start(&fake, 100000);
    assert_int_equal(session_run(fake.session, NULL, "$j = Start-VM endless -AsJob; $j.State; Remove-Job $j; "
                                                     "Wait-Job $j -Timeout 0; $j.State"), 1);
    assert_string_equal(fake.output, "Running\nRunning\n");
    assert_non_null(strstr(fake.errors, "Job 1 is not finished."));
    job_done(fake.endless);
    fake_clear(&fake);
    assert_int_equal(session_run(fake.session, NULL, "$j.State; Wait-Job 7"), 1);
    assert_string_equal(fake.output, "Completed\n");
    assert_non_null(strstr(fake.errors, "cannot find a job with the id 7"));
    fake_clear(&fake);
    assert_int_equal(session_run(fake.session, NULL, "$k = Start-VM endless -AsJob; $l = Start-VM lab -AsJob; "
                                                     "($l | Stop-Job -PassThru).State; $k.State"), 0);
    assert_string_equal(fake.output, "Completed\nRunning\n");
    assert_false(job_stopped(fake.endless));
    job_stop(fake.endless);
    assert_true(job_stopped(fake.endless));
    job_done(fake.endless);
    fake_clear(&fake);
    assert_int_equal(session_run(fake.session, NULL, "$k.State; $k, $l | Remove-Job"), 0);
    assert_string_equal(fake.output, "Stopped\n");
    fake_clear(&fake);
    assert_int_equal(session_run(fake.session, NULL, "Start-VM bad -AsJob | Out-Null; Start-VM lab -AsJob -WhatIf"), 0);
    assert_int_equal(session_finish(fake.session), 1); // what nobody received is told at the end
    assert_non_null(strstr(fake.errors, "Start-VM: 'bad' failed to start. [InvalidState"));
    fake_clear(&fake);
    assert_int_equal(session_finish(fake.session), 0);
    fake_stop(&fake);
}

static void jobs_are_refused_where_there_are_none(void **state)
{
    (void)state;
    struct fake fake = {0};
    const struct session_config config = {.context = &fake, .invoke = fake_invoke, .emit = fake_emit,
                                          .error = fake_error};
    fake.session = session_create(&config);
    assert_int_equal(session_run(fake.session, NULL, "Start-VM lab -AsJob"), 1);
    assert_non_null(strstr(fake.errors, "Leave -AsJob out"));
    assert_null(fake.requests);
    fake_stop(&fake);
}

static void cancelling_emit(void *context, struct value *object)
{
    fake_emit(context, object);
    session_cancel(((struct fake *)context)->session);
}

static void cancel_ends_a_run(void **state)
{
    (void)state;
    struct fake fake = {0};
    const struct session_config config = {.context = &fake, .invoke = fake_invoke, .emit = cancelling_emit,
                                          .error = fake_error};
    fake.session = session_create(&config);
    assert_int_equal(session_run(fake.session, NULL, "try { 1; while ($true) { } } catch { 2 } finally { 3 }; 4"), 1);
    assert_string_equal(fake.output, "1\n");
    assert_int_equal(session_run(fake.session, NULL, "5"), 0); // forgotten when the next run starts
    fake_stop(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions),
        cmocka_unit_test(statements),
        cmocka_unit_test(pipelines),
        cmocka_unit_test(effects),
        cmocka_unit_test(preferences),
        cmocka_unit_test(errors_have_places),
        cmocka_unit_test(work_has_bounds),
        cmocka_unit_test(incomplete_input_is_known),
        cmocka_unit_test(words_bind_as_arguments),
        cmocka_unit_test(cancel_ends_a_run),
        cmocka_unit_test(errors_in_loops_are_cheap),
        cmocka_unit_test(types_have_members),
        cmocka_unit_test(blocks_have_parts),
        cmocka_unit_test(errors_are_caught_by_type),
        cmocka_unit_test(exit_says_the_status),
        cmocka_unit_test(scripts_take_parameters),
        cmocka_unit_test(consoles_by_their_window),
        cmocka_unit_test(jobs_go_on_beside),
        cmocka_unit_test(jobs_are_refused_where_there_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
