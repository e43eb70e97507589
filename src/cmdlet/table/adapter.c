// Virtual network adapters: the VM's cards and the ports they are plugged into. What a port lets through is a setting of
// the adapter, as in Hyper-V; -MacAddressSpoofing is the one nested VMs need.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

#define ADAPTER(set)                                                                                                  \
    {.name = "VMNetworkAdapter", .type = PARAMETER_OBJECT, .sets = (set), .position = 1, .object = "VMNetworkAdapter", \
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED, .help = "The adapters, as Get-VMNetworkAdapter "  \
                                                                              "gives them."}
#define MANAGEMENT_OS(set, mandatory)                                                                                 \
    {.name = "ManagementOS", .type = PARAMETER_SWITCH, .sets = (set), .flags = (mandatory),                           \
     .help = "The host's own adapters, which are named vEthernet (SWITCH) there."}
#define ADAPTER_NAME(set, at)                                                                                         \
    {.name = "Name", .aliases = "VMNetworkAdapterName", .type = PARAMETER_STRING, .sets = (set), .position = (at),    \
     .flags = PARAMETER_WILDCARD, .help = "Only adapters of this name; * and ? stand for any characters."}
#define SWITCH_NAME(text)                                                                                             \
    {.name = "SwitchName", .type = PARAMETER_STRING, .object = "VMSwitch", .help = text}

static const struct parameter get_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    SELECTOR_VM(PARAMETER_SET_2),
    MANAGEMENT_OS(PARAMETER_SET_3, PARAMETER_MANDATORY),
    {.name = "All", .type = PARAMETER_SWITCH, .sets = PARAMETER_SET_4, .flags = PARAMETER_MANDATORY,
     .help = "The adapters of all virtual machines and of the host."},
    ADAPTER_NAME(0, 2),
    {.name = "SwitchName", .type = PARAMETER_STRING, .sets = PARAMETER_SET_3, .object = "VMSwitch",
     .help = "Only adapters on this switch."},
    {.name = "IsLegacy", .type = PARAMETER_BOOL, .help = "Only emulated adapters, or only others. nidus has no emulated ones."},
    {0},
};

static const struct parameter set_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    SELECTOR_VM(PARAMETER_SET_2),
    ADAPTER(PARAMETER_SET_3),
    MANAGEMENT_OS(PARAMETER_SET_4, PARAMETER_MANDATORY),
    ADAPTER_NAME(PARAMETER_SET_1 | PARAMETER_SET_2 | PARAMETER_SET_4, 0),
    {.name = "MacAddressSpoofing", .type = PARAMETER_ENUM, .values = "On Off",
     .help = "Whether the VM may send from addresses that are not its adapter's, as a VM with a switch of its own does for "
             "its nested VMs."},
    {.name = "StaticMacAddress", .type = PARAMETER_STRING, .help = "The adapter's address from now on: 00155D012345."},
    {.name = "DynamicMacAddress", .type = PARAMETER_SWITCH, .help = "Takes an address from the host's range at start."},
    {.name = "DhcpGuard", .type = PARAMETER_ENUM, .values = "On Off", .help = "Drops what DHCP servers in the VM send."},
    {.name = "RouterGuard", .type = PARAMETER_ENUM, .values = "On Off",
     .help = "Drops router advertisements and redirects that the VM sends."},
    {.name = "PortMirroring", .type = PARAMETER_ENUM, .values = "None Source Destination",
     .help = "Copies what source ports carry to destination ports of the same switch."},
    {.name = "StormLimit", .type = PARAMETER_INT, .least = 0, .most = UINT32_MAX,
     .help = "Broadcasts, multicasts and unknown unicasts a second, the most; 0: no limit."},
    {.name = "MaximumBandwidth", .type = PARAMETER_INT, .least = 0, .most = INT64_MAX,
     .help = "Bits a second, the most; rounded to 8; 0: no limit."},
    {.name = "MinimumBandwidthAbsolute", .type = PARAMETER_INT, .least = 0, .most = INT64_MAX,
     .help = "Bits a second that are kept for it; rounded to 8."},
    {.name = "MinimumBandwidthWeight", .type = PARAMETER_INT, .least = 0, .most = 100,
     .help = "Its share of the switch against others'."},
    {.name = "IeeePriorityTag", .type = PARAMETER_ENUM, .values = "On Off", .help = "Lets priority tags of the VM through."},
    {.name = "AllowTeaming", .type = PARAMETER_ENUM, .values = "On Off", .help = "Lets the VM team this adapter."},
    {.name = "DeviceNaming", .type = PARAMETER_ENUM, .values = "On Off", .help = "Tells the guest the adapter's name."},
    {.name = "VmqWeight", .type = PARAMETER_INT, .least = 0, .most = 100, .help = "Its weight for queues of the host's card."},
    {.name = "IovWeight", .type = PARAMETER_INT, .least = 0, .most = 100, .help = "Its weight for SR-IOV; nidus has none."},
    {.name = "VirtualSubnetId", .type = PARAMETER_INT, .least = 0, .most = 16777215,
     .help = "Virtual subnet, 0 or from 4096 on."},
    {.name = "Dhcp", .type = PARAMETER_ENUM, .values = "On Off", .flags = PARAMETER_NIDUS,
     .help = "With -ManagementOS: whether nidus answers DHCP on this Internal switch's NAT. Off by default, so that "
             "addresses set by hand are never disturbed."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter add_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    SELECTOR_VM(PARAMETER_SET_2),
    MANAGEMENT_OS(PARAMETER_SET_3, PARAMETER_MANDATORY),
    {.name = "Name", .type = PARAMETER_STRING, .help = "The adapter's name; \"Network Adapter\" if none is given."},
    SWITCH_NAME("The switch to plug it into."),
    {.name = "StaticMacAddress", .type = PARAMETER_STRING, .help = "Its address: 00155D012345."},
    {.name = "DynamicMacAddress", .type = PARAMETER_SWITCH, .help = "Takes an address from the host's range."},
    {.name = "IsLegacy", .type = PARAMETER_BOOL, .help = "An emulated adapter. nidus has none: only $false is taken."},
    {.name = "DeviceNaming", .type = PARAMETER_ENUM, .values = "On Off", .help = "Tells the guest the adapter's name."},
    {.name = "ResourcePoolName", .type = PARAMETER_STRING, .help = "The resource pool; nidus has the one named Primordial."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter remove_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    SELECTOR_VM(PARAMETER_SET_2),
    ADAPTER(PARAMETER_SET_3),
    MANAGEMENT_OS(PARAMETER_SET_4, PARAMETER_MANDATORY),
    ADAPTER_NAME(PARAMETER_SET_1 | PARAMETER_SET_2 | PARAMETER_SET_4, 0),
    {.name = "SwitchName", .type = PARAMETER_STRING, .sets = PARAMETER_SET_4, .object = "VMSwitch",
     .help = "Only adapters on this switch."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter rename_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    SELECTOR_VM(PARAMETER_SET_2),
    ADAPTER(PARAMETER_SET_3),
    MANAGEMENT_OS(PARAMETER_SET_4, PARAMETER_MANDATORY),
    ADAPTER_NAME(PARAMETER_SET_1 | PARAMETER_SET_2 | PARAMETER_SET_4, 0),
    {.name = "NewName", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY, .position = 2, .help = "Its name from now on."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter connect_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    ADAPTER(PARAMETER_SET_2),
    ADAPTER_NAME(PARAMETER_SET_1, 0),
    {.name = "SwitchName", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY, .position = 2, .object = "VMSwitch",
     .help = "The switch to plug it into."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter disconnect_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    ADAPTER(PARAMETER_SET_2),
    ADAPTER_NAME(PARAMETER_SET_1, 2),
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter get_vlan_parameters[] = {
    {.name = "VMName", .type = PARAMETER_STRING, .sets = PARAMETER_SET_1, .position = 1, .object = "VirtualMachine",
     .flags = PARAMETER_LIST | PARAMETER_PIPED | PARAMETER_NAMED | PARAMETER_WILDCARD,
     .help = "The names of the virtual machines; all if none is given."},
    SELECTOR_VM(PARAMETER_SET_2),
    ADAPTER(PARAMETER_SET_3),
    {.name = "VMNetworkAdapterName", .type = PARAMETER_STRING, .flags = PARAMETER_WILDCARD,
     .sets = PARAMETER_SET_1 | PARAMETER_SET_2, .help = "Only adapters of this name."},
    {0},
};

static const struct parameter set_vlan_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    SELECTOR_VM(PARAMETER_SET_2),
    ADAPTER(PARAMETER_SET_3),
    {.name = "VMNetworkAdapterName", .type = PARAMETER_STRING, .flags = PARAMETER_WILDCARD,
     .sets = PARAMETER_SET_1 | PARAMETER_SET_2, .help = "Only adapters of this name."},
    {.name = "Untagged", .aliases = "u", .type = PARAMETER_SWITCH, .help = "No VLAN: frames pass as they are."},
    {.name = "Access", .aliases = "a", .type = PARAMETER_SWITCH, .help = "The VM is in the one VLAN -VlanId and sees no tags."},
    {.name = "VlanId", .type = PARAMETER_INT, .least = 1, .most = 4094, .help = "The VLAN of an access port."},
    {.name = "Trunk", .aliases = "t", .type = PARAMETER_SWITCH, .help = "Tagged frames of -AllowedVlanIdList pass."},
    {.name = "NativeVlanId", .type = PARAMETER_INT, .least = 0, .most = 4094, .help = "The VLAN of a trunk's untagged frames."},
    {.name = "AllowedVlanIdList", .type = PARAMETER_STRING, .help = "A trunk's VLANs: 1-100,200."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter get_acl_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    SELECTOR_VM(PARAMETER_SET_2),
    ADAPTER(PARAMETER_SET_3),
    {.name = "VMNetworkAdapterName", .type = PARAMETER_STRING, .flags = PARAMETER_WILDCARD,
     .sets = PARAMETER_SET_1 | PARAMETER_SET_2, .help = "Only adapters of this name."},
    {0},
};

static const struct parameter change_acl_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    SELECTOR_VM(PARAMETER_SET_2),
    ADAPTER(PARAMETER_SET_3),
    {.name = "VMNetworkAdapterName", .type = PARAMETER_STRING, .flags = PARAMETER_WILDCARD,
     .sets = PARAMETER_SET_1 | PARAMETER_SET_2, .help = "Only adapters of this name."},
    {.name = "Action", .type = PARAMETER_ENUM, .values = "Allow Deny Meter", .flags = PARAMETER_MANDATORY,
     .help = "What happens to a frame it matches."},
    {.name = "Direction", .type = PARAMETER_ENUM, .values = "Inbound Outbound Both", .flags = PARAMETER_MANDATORY,
     .help = "Frames to the VM, from it, or both."},
    {.name = "LocalIPAddress", .type = PARAMETER_STRING, .flags = PARAMETER_LIST, .help = "The VM's address or prefix, or ANY."},
    {.name = "LocalMacAddress", .type = PARAMETER_STRING, .flags = PARAMETER_LIST, .help = "The VM's MAC address, or ANY."},
    {.name = "RemoteIPAddress", .type = PARAMETER_STRING, .flags = PARAMETER_LIST,
     .help = "The other side's address or prefix, or ANY."},
    {.name = "RemoteMacAddress", .type = PARAMETER_STRING, .flags = PARAMETER_LIST,
     .help = "The other side's MAC address, or ANY."},
    PARAMETER_PASSTHRU,
    {0},
};

#define CHANGES (CMDLET_SHOULD_PROCESS | CMDLET_CHANGES)

static const struct cmdlet cmdlets[] = {
    {.name = "Get-VMNetworkAdapter", .module = "Hyper-V", .parameters = get_parameters, .output = "VMNetworkAdapter",
     .sets = {"VMName", "VMObject", "ManagementOS", "All"},
     .synopsis = "Gets the network adapters of virtual machines or of the host.",
     .examples = {{"Get-VMNetworkAdapter -VMName lab", "Shows the adapters of lab, and what their ports dropped."},
                  {"Get-VMNetworkAdapter -All | Format-List Name, VMName, MacAddress, MacAddressSpoofing, DroppedFrames",
                   "Shows all adapters and their ports' rules."}}},
    {.name = "Set-VMNetworkAdapter", .module = "Hyper-V", .parameters = set_parameters, .output = "VMNetworkAdapter",
     .sets = {"VMName", "VMObject", "VMNetworkAdapter", "ManagementOS"}, .flags = CHANGES,
     .synopsis = "Configures network adapters and the ports they are plugged into.",
     .examples = {{"Get-VMNetworkAdapter -VMName lab | Set-VMNetworkAdapter -MacAddressSpoofing On",
                   "Lets frames of the VMs inside lab through lab's port."},
                  {"Set-VMNetworkAdapter -VMName lab -StaticMacAddress 00155D012345", "Gives lab's adapter this address."}}},
    {.name = "Add-VMNetworkAdapter", .module = "Hyper-V", .parameters = add_parameters, .output = "VMNetworkAdapter",
     .sets = {"VMName", "VMObject", "ManagementOS"}, .flags = CHANGES,
     .synopsis = "Adds a network adapter to a virtual machine or to the host.",
     .examples = {{"Add-VMNetworkAdapter -VMName lab -Name second", "Gives lab another adapter."}}},
    {.name = "Remove-VMNetworkAdapter", .module = "Hyper-V", .parameters = remove_parameters, .output = "VMNetworkAdapter",
     .sets = {"VMName", "VMObject", "VMNetworkAdapter", "ManagementOS"}, .flags = CHANGES,
     .synopsis = "Removes network adapters.",
     .examples = {{"Remove-VMNetworkAdapter -VMName lab -Name second", "Takes the adapter named second out of lab."}}},
    {.name = "Rename-VMNetworkAdapter", .module = "Hyper-V", .parameters = rename_parameters, .output = "VMNetworkAdapter",
     .sets = {"VMName", "VMObject", "VMNetworkAdapter", "ManagementOS"}, .flags = CHANGES,
     .synopsis = "Renames a network adapter.",
     .examples = {{"Rename-VMNetworkAdapter -VMName lab -Name 'Network Adapter' -NewName outside",
                   "Gives lab's adapter another name."}}},
    {.name = "Connect-VMNetworkAdapter", .module = "Hyper-V", .parameters = connect_parameters,
     .output = "VMNetworkAdapter", .sets = {"Name_SwitchName", "Object_SwitchName"}, .flags = CHANGES,
     .synopsis = "Plugs a network adapter into a switch.",
     .examples = {{"Connect-VMNetworkAdapter -VMName lab -SwitchName 'Default Switch'",
                   "Plugs lab's adapters into the built-in NAT switch."}}},
    {.name = "Disconnect-VMNetworkAdapter", .module = "Hyper-V", .parameters = disconnect_parameters,
     .output = "VMNetworkAdapter", .sets = {"Name", "Object"}, .flags = CHANGES,
     .synopsis = "Unplugs a network adapter from its switch.",
     .examples = {{"Disconnect-VMNetworkAdapter -VMName lab", "Unplugs lab's adapters."}}},
    {.name = "Get-VMNetworkAdapterVlan", .module = "Hyper-V", .parameters = get_vlan_parameters,
     .output = "VMNetworkAdapterVlanSetting", .sets = {"VMName", "VMObject", "VMNetworkAdapter"},
     .synopsis = "Gets the VLAN settings of network adapters.",
     .examples = {{"Get-VMNetworkAdapterVlan", "Shows the VLANs of all adapters."}}},
    {.name = "Set-VMNetworkAdapterVlan", .module = "Hyper-V", .parameters = set_vlan_parameters,
     .output = "VMNetworkAdapterVlanSetting", .sets = {"VMName", "VMObject", "VMNetworkAdapter"}, .flags = CHANGES,
     .synopsis = "Configures the VLANs of network adapters.",
     .examples = {{"Set-VMNetworkAdapterVlan -VMName lab -Access -VlanId 121", "Puts lab into VLAN 121."},
                  {"Set-VMNetworkAdapterVlan -VMName lab -Trunk -AllowedVlanIdList 1-100 -NativeVlanId 10",
                   "Lets tagged frames of VLANs 1 to 100 through."}}},
    {.name = "Get-VMNetworkAdapterAcl", .module = "Hyper-V", .parameters = get_acl_parameters,
     .output = "VMNetworkAdapterAclSetting", .sets = {"VMName", "VMObject", "VMNetworkAdapter"},
     .synopsis = "Gets the access rules of network adapters' ports.",
     .examples = {{"Get-VMNetworkAdapterAcl -VMName lab", "Shows the rules of lab's ports."}}},
    {.name = "Add-VMNetworkAdapterAcl", .module = "Hyper-V", .parameters = change_acl_parameters,
     .output = "VMNetworkAdapterAclSetting", .sets = {"VMName", "VMObject", "VMNetworkAdapter"}, .flags = CHANGES,
     .synopsis = "Adds an access rule to network adapters' ports.",
     .examples = {{"Add-VMNetworkAdapterAcl -VMName lab -RemoteIPAddress 192.0.2.0/24 -Direction Both -Action Deny",
                   "Cuts lab off from that network."}}},
    {.name = "Remove-VMNetworkAdapterAcl", .module = "Hyper-V", .parameters = change_acl_parameters,
     .output = "VMNetworkAdapterAclSetting", .sets = {"VMName", "VMObject", "VMNetworkAdapter"}, .flags = CHANGES,
     .synopsis = "Removes an access rule from network adapters' ports.",
     .examples = {{"Remove-VMNetworkAdapterAcl -VMName lab -RemoteIPAddress 192.0.2.0/24 -Direction Both -Action Deny",
                   "Lets lab reach that network again."}}},
    {0},
};

static const struct property adapter_properties[] = {
    {"Name", PROPERTY_STRING, NULL, "its name"},
    {"Id", PROPERTY_STRING, NULL, "its id"},
    {"IsManagementOs", PROPERTY_BOOL, NULL, "whether it is the host's"},
    {"VMName", PROPERTY_STRING, NULL, "the VM's name"},
    {"VMId", PROPERTY_STRING, NULL, "the VM's id"},
    {"SwitchName", PROPERTY_STRING, NULL, "the switch it is plugged into"},
    {"SwitchId", PROPERTY_STRING, NULL, "that switch's id"},
    {"Connected", PROPERTY_BOOL, NULL, "whether it is plugged into a switch"},
    {"MacAddress", PROPERTY_STRING, NULL, "its address"},
    {"DynamicMacAddressEnabled", PROPERTY_BOOL, NULL, "whether that came from the host's range"},
    {"MacAddressSpoofing", PROPERTY_STRING, NULL, "whether frames from other addresses pass"},
    {"DroppedFrames", PROPERTY_INT, NULL, "frames its port did not let through, for whatever reason"},
    {"DroppedSpoofedFrames", PROPERTY_INT, NULL, "of these, those from a foreign address"},
    {"LastSpoofedAddress", PROPERTY_STRING, NULL, "the foreign address of the last of these"},
    {"FramesSent", PROPERTY_INT, NULL, "frames from the VM that passed"},
    {"FramesReceived", PROPERTY_INT, NULL, "frames to the VM that passed"},
    {"BytesSent", PROPERTY_INT, NULL, "bytes of these"},
    {"BytesReceived", PROPERTY_INT, NULL, "bytes of these"},
    {"DhcpGuard", PROPERTY_STRING, NULL, "drops DHCP servers' messages from the VM"},
    {"RouterGuard", PROPERTY_STRING, NULL, "drops router advertisements from the VM"},
    {"PortMirroringMode", PROPERTY_STRING, NULL, "None, Source, Destination"},
    {"StormLimit", PROPERTY_INT, NULL, "broadcasts a second, the most"},
    {"MaximumBandwidth", PROPERTY_INT, NULL, "bits a second, the most"},
    {"MinimumBandwidthAbsolute", PROPERTY_INT, NULL, "bits a second that are kept"},
    {"MinimumBandwidthWeight", PROPERTY_INT, NULL, "share against others"},
    {"IeeePriorityTag", PROPERTY_STRING, NULL, "priority tags pass"},
    {"AllowTeaming", PROPERTY_STRING, NULL, "teaming in the VM"},
    {"DeviceNaming", PROPERTY_STRING, NULL, "the guest is told its name"},
    {"VmqWeight", PROPERTY_INT, NULL, "weight for queues"},
    {"IovWeight", PROPERTY_INT, NULL, "weight for SR-IOV"},
    {"VirtualSubnetId", PROPERTY_INT, NULL, "virtual subnet"},
    {"VlanSetting", PROPERTY_STRING, NULL, "Untagged, Access or Trunk, and the VLANs"},
    {"Status", PROPERTY_STRINGS, NULL, "Ok, or what is wrong"},
    {"IPAddresses", PROPERTY_STRINGS, NULL, "what the guest's agent tells of its addresses"},
    {"IsLegacy", PROPERTY_BOOL, NULL, "emulated"},
    {"IsDeleted", PROPERTY_BOOL, NULL, "whether it was removed since"},
    {"ComputerName", PROPERTY_STRING, NULL, "the host"},
    {0},
};

static const struct property vlan_properties[] = {
    {"VMName", PROPERTY_STRING, NULL, "the VM's name"},
    {"VMNetworkAdapterName", PROPERTY_STRING, NULL, "the adapter's name"},
    {"OperationMode", PROPERTY_STRING, NULL, "Untagged, Access, Trunk"},
    {"AccessVlanId", PROPERTY_INT, NULL, "the VLAN of an access port"},
    {"NativeVlanId", PROPERTY_INT, NULL, "the VLAN of a trunk's untagged frames"},
    {"AllowedVlanIdList", PROPERTY_STRINGS, NULL, "a trunk's VLANs"},
    {"VlanList", PROPERTY_STRING, NULL, "all of them in a word"},
    {0},
};

static const struct property acl_properties[] = {
    {"VMName", PROPERTY_STRING, NULL, "the VM's name"},
    {"VMNetworkAdapterName", PROPERTY_STRING, NULL, "the adapter's name"},
    {"Direction", PROPERTY_STRING, NULL, "Inbound, Outbound"},
    {"Local", PROPERTY_STRING, NULL, "the VM's side"},
    {"Remote", PROPERTY_STRING, NULL, "the other side"},
    {"Action", PROPERTY_STRING, NULL, "Allow, Deny, Meter"},
    {"MeteredMegabytes", PROPERTY_INT, NULL, "what a Meter rule counted"},
    {0},
};

static const struct class classes[] = {
    {.name = "VMNetworkAdapter", .full_name = "Microsoft.HyperV.PowerShell.VMNetworkAdapter", .key = "Id",
     .display = "Name", .properties = adapter_properties,
     .columns = {{"Name", NULL, 0, false}, {"IsManagementOs", NULL, 0, false}, {"VMName", NULL, 0, false},
                 {"SwitchName", NULL, 0, false}, {"MacAddress", NULL, 0, false}, {"Status", NULL, 0, false},
                 {"IPAddresses", NULL, 0, false}, {"DroppedFrames", NULL, 0, false}}},
    {.name = "VMNetworkAdapterVlanSetting", .full_name = "Microsoft.HyperV.PowerShell.VMNetworkAdapterVlanSetting",
     .display = "VMNetworkAdapterName", .properties = vlan_properties,
     .columns = {{"VMName", NULL, 0, false}, {"VMNetworkAdapterName", NULL, 0, false}, {"OperationMode", "Mode", 0, false},
                 {"VlanList", NULL, 0, false}}},
    {.name = "VMNetworkAdapterAclSetting", .full_name = "Microsoft.HyperV.PowerShell.VMNetworkAdapterAclSetting",
     .display = "VMNetworkAdapterName", .properties = acl_properties,
     .columns = {{"VMName", NULL, 0, false}, {"VMNetworkAdapterName", NULL, 0, false}, {"Direction", NULL, 0, false},
                 {"Local", NULL, 0, false}, {"Remote", NULL, 0, false}, {"Action", NULL, 0, false}}},
    {0},
};

const struct noun table_adapter = {cmdlets, classes};
