// The API's description, made from the tables of cmdlets and classes, so that it cannot be out of date.
#pragma once

char *openapi_write(void); // OpenAPI 3.1 as JSON; the caller frees
