import type { StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { covers } from "../../internal/topic-trie.ts";
import type { Attached } from "./options.ts";
import type { Streams } from "./streams.ts";

/** A stream that somebody else made is used as it is: what can't be done with it is refused, nothing is changed. */
export async function checkAttached(streams: Streams, options: StreamOptions, attached: Attached): Promise<void> {
  const found = await streams.look(options.name);
  const which = `nats: stream "${options.name}", which is "${attached.stream}" at the server,`;
  if (found === undefined) throw new DriverError("BUS_NOT_FOUND", `${which} does not exist`);
  const { topics, config } = found.facts;
  if ((config.retention ?? "limits") !== "limits")
    throw new DriverError("BUS_UNSUPPORTED", `${which} has retention "${config.retention}": groups need "limits"`);
  const unfit = (["no_ack", "sealed", "mirror"] as const).find((name) => Boolean(config[name]));
  if (unfit !== undefined)
    throw new DriverError(
      "BUS_UNSUPPORTED",
      `${which} has "${unfit}": what is published to it is not answered or not taken`,
    );
  const lacking = options.topics.filter((topic) => !topics.some((captured) => covers(captured, topic)));
  if (lacking.length > 0)
    throw new DriverError(
      "BUS_CONFLICT",
      `${which} doesn't capture ${lacking.join(", ")}, and is not the bus's to change`,
    );
  const changing = (["maxAgeMs", "maxBytes", "maxMessages", "whenFull", "partitions", "replicas"] as const).find(
    (name) => options[name] !== undefined,
  );
  if (changing !== undefined)
    throw new DriverError("BUS_CONFLICT", `${which} is not the bus's to change: leave out "${changing}"`);
}
