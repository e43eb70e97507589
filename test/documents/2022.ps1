Set-VMProcessor -VMName lab -ExposeVirtualizationExtensions $true
Set-VMProcessor -VMName lab -ExposeVirtualizationExtensions $false
Get-VMNetworkAdapter -VMName lab | Set-VMNetworkAdapter -MacAddressSpoofing On
New-VMSwitch -Name VmNAT -SwitchType Internal
New-NetNat –Name LocalNAT –InternalIPInterfaceAddressPrefix '192.168.100.0/24'
Get-NetAdapter 'vEthernet (VmNat)' | New-NetIPAddress -IPAddress 192.168.100.1 -AddressFamily IPv4 -PrefixLength 24
Get-NetAdapter 'vEthernet (VmNat)' | New-NetIPAddress -IPAddress 192.168.100.2 -DefaultGateway 192.168.100.1 -AddressFamily IPv4 -PrefixLength 24
Netsh interface ip add dnsserver "vEthernet (VmNat)" address=192.0.2.53
