import type { Login } from "./broker-kind.ts";
import type { Certificates } from "./certificates.ts";
import type { ProcessState } from "./process-identity.ts";

/** What can be done to a server, and to all servers of a broker at once. */
export interface Controls {
  /** Resolves when it takes connections, on the same port and data as before; at once when it runs. */
  start(): Promise<void>;
  /** Ends it as an operator would. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay, nothing answers. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Stops it if it runs, and starts it again. */
  restart(): Promise<void>;
  state(): Promise<ProcessState>;
  logs(): Promise<string>;
}

export interface BrokerServer extends Controls {
  /** On 127.0.0.1. */
  readonly port: number;
  /** It was started here, and is gone though nobody stopped it here. */
  endedByItself(): Promise<boolean>;
}

/** A broker for tests. Disposing ends and removes it; one that was given by a url is left alone. */
export interface Broker extends Controls, AsyncDisposable {
  /** `nats@2.10/tls`. */
  readonly label: string;
  /** With user and password, where it wants them and urls hold them. */
  readonly url: string;
  /** Undefined: given by a url. */
  readonly version: string | undefined;
  /** Where it comes from, for people: a path, an image, the name of a variable. */
  readonly origin: string;
  /** False: it was given by a url, and all `Controls` reject. */
  readonly own: boolean;
  readonly login: Login | undefined;
  /** Undefined: given by a url. */
  readonly certificates: Certificates | undefined;
  /** More than one in a cluster, and with a replica; none when given by a url. */
  readonly servers: readonly BrokerServer[];
}
