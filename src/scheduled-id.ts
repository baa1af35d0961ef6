/**
 * Under which id a state store keeps what is published for later: an event may be published, and sent to several groups, under one
 * id of its own. No group's name holds a slash.
 */
export const topicId = (id: string): string => `t/${id}`;
export const queueId = (group: string, id: string): string => `q/${group}/${id}`;

/** The event's. */
export const eventIdOf = (stored: string): string =>
  stored.startsWith("q/") ? stored.slice(stored.indexOf("/", 2) + 1) : stored.slice(2);

/** Undefined: of a topic. */
export const groupOf = (stored: string): string | undefined =>
  stored.startsWith("q/") ? stored.slice(2, stored.indexOf("/", 2)) : undefined;
