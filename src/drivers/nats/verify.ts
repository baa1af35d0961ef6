import type { StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { checkAttached } from "./attach.ts";
import type { StreamConfig } from "./api-types.ts";
import type { Shared } from "./shared.ts";
import { ownStreams, streamConfig } from "./stream-plan.ts";
import { refuseForeign } from "./streams.ts";

/** `manage: "verify"`: rejects with what the driver itself needs and does not find, and how to make it. */
export async function missingOwn({ session, api }: Shared): Promise<void> {
  const wanted = ownStreams(session.names, session.version, session.options.replicas);
  const found = await Promise.all(wanted.map(({ name }) => api.streamInfo(name)));
  const missing = wanted.filter((_, index) => found[index] === undefined);
  if (missing.length > 0) throw absent(missing);
  for (const [index, config] of wanted.entries()) refuseForeign(config, found[index]!.config);
}

/** The same for one stream of the user's: it is there and captures what it should. */
export async function missingStream({ session, streams }: Shared, options: StreamOptions): Promise<void> {
  const attached = session.options.attach.get(options.name);
  if (attached !== undefined) return await checkAttached(streams, options, attached);
  const found = await streams.look(options.name);
  const config = streamConfig(options, session.names, found?.facts);
  if (found === undefined) throw absent([config]);
  refuseForeign(config, found.native.config);
  const lacking = options.topics.filter((topic) => !found.facts.topics.includes(topic));
  if (lacking.length > 0)
    throw new DriverError(
      "BUS_NOT_FOUND",
      `nats: stream "${options.name}" doesn't capture ${lacking.join(", ")}:\n${command("UPDATE", config)}`,
    );
}

function absent(configs: readonly StreamConfig[]): DriverError {
  const commands = configs.map((config) => command("CREATE", config));
  return new DriverError(
    "BUS_NOT_FOUND",
    `nats: missing at the server: ${configs.map(({ name }) => name).join(", ")}. Connect once with manage "create", or make it:\n${commands.join("\n")}`,
  );
}

/** By the API itself: a command with an option for each setting would say less, and differ by the version of the tool. */
const command = (what: "CREATE" | "UPDATE", config: StreamConfig): string =>
  `nats req '$JS.API.STREAM.${what}.${config.name}' '${JSON.stringify(config).replaceAll("'", String.raw`'\''`)}'`;
