import type { Broker } from "./broker.ts";

/** A broker that somebody else runs. */
export function givenBroker(label: string, url: string, variable: string): Broker {
  const refuse = async (): Promise<never> => {
    throw new Error(
      `${label} was given by ${variable} and is not ours to control: ask for one of our own, or unset it`,
    );
  };
  return {
    label,
    url,
    version: undefined,
    origin: variable,
    own: false,
    login: undefined,
    certificates: undefined,
    servers: [],
    start: refuse,
    stop: refuse,
    kill: refuse,
    pause: refuse,
    resume: refuse,
    restart: refuse,
    state: refuse,
    logs: refuse,
    [Symbol.asyncDispose]: async () => {},
  };
}
