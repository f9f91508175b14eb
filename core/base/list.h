/* Lists through members of their items. No memory of their own; the thread rule is that of the items.
 *
 * list_*   doubly linked by `next` and `prev`; `head` is the pointer to the first item, NULL if there is none
 * fifo_*   linked by `next`; `q` points to what has the members `first` and `last`, NULL if there is no item
 * deque_*  linked by `next` and `prev`, with `first` and `last` likewise */
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

#define fifo_push(q, item)            \
    do {                              \
        (item)->next = NULL;          \
        if ((q)->last != NULL)        \
            (q)->last->next = (item); \
        else                          \
            (q)->first = (item);      \
        (q)->last = (item);           \
    } while (0)

/* Takes the first item, of which there is one, out. */
#define fifo_pop(q)                    \
    do {                               \
        (q)->first = (q)->first->next; \
        if ((q)->first == NULL)        \
            (q)->last = NULL;          \
    } while (0)

#define deque_push(q, item)       \
    do {                          \
        (item)->prev = (q)->last; \
        fifo_push(q, item);       \
    } while (0)

/* Takes `item`, which is in it, out. Its own pointers stay as they were. */
#define deque_remove(q, item)          \
    do {                               \
        if ((q)->last == (item))       \
            (q)->last = (item)->prev;  \
        list_remove((q)->first, item); \
    } while (0)

#endif
