import type { Capabilities, DriverAdmin, DriverConnection, StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";

/** What `manage: "verify"` connects to when there is no file, or nothing of this prefix in it: it lists nothing, and refuses the rest. */
export function missingConnection(reason: DriverError, capabilities: Capabilities): DriverConnection {
  const missing = (what?: string): DriverError =>
    new DriverError(
      "BUS_NOT_FOUND",
      what === undefined ? reason.message : `${reason.message}; ${what} is missing with it`,
      { cause: reason },
    );
  const refuse = (): Promise<never> => Promise.reject(missing());
  const admin: DriverAdmin = {
    streams: () => Promise.resolve([]),
    positions: refuse,
    trim: refuse,
    deleteStream: refuse,
    groups: refuse,
    members: refuse,
    updateGroup: refuse,
    resetGroup: refuse,
    recoverGroup: refuse,
    deleteGroup: refuse,
    letters: refuse,
    letter: refuse,
    countLetters: refuse,
    claimLetters: refuse,
    removeLetters: refuse,
  };
  return {
    client: undefined,
    capabilities,
    unencoded: false,
    ensureStream: ({ name }: StreamOptions) => Promise.reject(missing(`stream "${name}"`)),
    ensureGroup: ({ group }) => Promise.reject(missing(`group "${group}"`)),
    send: (batch) => {
      for (const message of batch) message.failed("no", missing());
    },
    consume: refuse,
    ping: refuse,
    close: () => Promise.resolve(),
    admin,
    state: undefined,
  };
}
