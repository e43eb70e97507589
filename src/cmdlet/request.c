// See request.h.
#include "cmdlet/request.h"

static const char *const category_names[] = {
    [CATEGORY_NOT_SPECIFIED] = "NotSpecified",
    [CATEGORY_INVALID_ARGUMENT] = "InvalidArgument",
    [CATEGORY_INVALID_OPERATION] = "InvalidOperation",
    [CATEGORY_OBJECT_NOT_FOUND] = "ObjectNotFound",
    [CATEGORY_RESOURCE_EXISTS] = "ResourceExists",
    [CATEGORY_RESOURCE_BUSY] = "ResourceBusy",
    [CATEGORY_RESOURCE_UNAVAILABLE] = "ResourceUnavailable",
    [CATEGORY_PERMISSION_DENIED] = "PermissionDenied",
    [CATEGORY_NOT_IMPLEMENTED] = "NotImplemented",
    [CATEGORY_NOT_INSTALLED] = "NotInstalled",
    [CATEGORY_OPERATION_TIMEOUT] = "OperationTimeout",
    [CATEGORY_CONNECTION_ERROR] = "ConnectionError",
    [CATEGORY_WRITE_ERROR] = "WriteError",
    [CATEGORY_READ_ERROR] = "ReadError",
    [CATEGORY_PARSER_ERROR] = "ParserError",
};

const char *error_category_name(enum error_category category) { return category_names[category]; }

enum error_category error_category_find(const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(category_names); i++)
        if (!value_name_compare(category_names[i], name))
            return (enum error_category)i;
    return CATEGORY_NOT_SPECIFIED;
}
