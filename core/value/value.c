#include "core/value/value.h"

#include "core/value/string.h"

static const struct value_class *const classes[VALUE_TYPES] = {
    [VALUE_STRING] = &string_class,
};

const struct value_class *value_class_of(uint8_t type) { return type < VALUE_TYPES ? classes[type] : NULL; }

const struct value_class *value_class_of_rdb(uint8_t rdb_type, uint8_t *type)
{
    for (uint8_t i = 0; i < VALUE_TYPES; i++)
        if (classes[i] != NULL && classes[i]->reads(rdb_type)) {
            *type = i;
            return classes[i];
        }
    return NULL;
}
