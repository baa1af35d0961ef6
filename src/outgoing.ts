import { made, type Outgoing, type PublishOptions } from "./event.ts";
import { validateTopic } from "./topic.ts";

/** One untyped item for `publishMany`. Throws BUS_INVALID_TOPIC. */
export function outgoing(
  topic: string,
  data: unknown,
  options?: PublishOptions & {
    /** The event's type. @default the topic's last token */ readonly type?: string | undefined;
  },
): Outgoing {
  return { [made]: true, event: undefined, topic: validateTopic(topic), data, options };
}
