/* CLIENT's subcommands, and what HELLO shares with them. */
#ifndef SERVER_CMD_CLIENT_H
#define SERVER_CMD_CLIENT_H

#include "server/command.h"

extern struct command client_commands[];

/* Sets a name of the client of the call. False with an error replied, which begins with `what`: not a valid one. */
bool client_set_name(struct call *c, char **field, struct slice name, const char *what);

#endif
