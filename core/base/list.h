/* Doubly linked lists through the members `next` and `prev` of their items. `head` is the pointer to the first item,
 * NULL if there is none. No memory of its own; the thread rule is that of the items. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stddef.h>

/* Puts `item` in front. */
#define list_push(head, item)      \
    do {                           \
        (item)->prev = NULL;       \
        (item)->next = (head);     \
        if ((head) != NULL)        \
            (head)->prev = (item); \
        (head) = (item);           \
    } while (0)

/* Takes `item`, which is in the list, out of it. Its own pointers stay as they were. */
#define list_remove(head, item)                \
    do {                                       \
        if ((item)->next != NULL)              \
            (item)->next->prev = (item)->prev; \
        if ((item)->prev != NULL)              \
            (item)->prev->next = (item)->next; \
        else                                   \
            (head) = (item)->next;             \
    } while (0)

#endif
