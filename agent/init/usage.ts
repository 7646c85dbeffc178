/** Of `stillpoint-agent --help`. */
export const INIT_USAGE = `  stillpoint-agent init [--apply]           writes the file of what it finds on this host, and says what the
                                            members need before their first checkpoint

  --apply            of init: carries out what the members need, as each server's own user; where the file is
                     there already, for the members that it names
  --grid-name NAME, --repository PLACE
                     of init: what no host knows by itself; as in the grid file
  --host NAME        of init: what the grid calls this host; else the name in its certificate, else its own
  --listen ADDRESS   of init: where the agent will listen (default 0.0.0.0:7411)
  --participant SOCKET
                     of init: a process that takes part by itself, where its socket's name does not say so
`;
