/** Of each broker: the scheme of its urls, and the one with TLS where that is told by the scheme. */
export const schemes = {
  nats: { plain: "nats", secure: "tls" },
  redis: { plain: "redis", secure: "rediss" },
  postgres: { plain: "postgres", secure: undefined },
  rabbitmq: { plain: "amqp", secure: "amqps" },
  kafka: { plain: "kafka", secure: "kafkas" },
} as const;

export type DemoBroker = keyof typeof schemes;

/** Undefined: of a driver that needs none, or of nobody's. */
export function brokerOf(url: string): DemoBroker | undefined {
  const scheme = /^[a-z]+(?=:)/iu.exec(url)?.[0].toLowerCase();
  if (scheme === "postgresql") return "postgres";
  return (Object.keys(schemes) as DemoBroker[]).find((name) => {
    const { plain, secure } = schemes[name];
    return scheme !== undefined && (scheme === plain || scheme === secure);
  });
}
