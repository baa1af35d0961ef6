export type {
  RabbitMqAttachment,
  RabbitMqHeaderMatch,
  RabbitMqOptions,
  RabbitMqQueue,
  RabbitMqTlsOptions,
} from "./options.ts";
export { rabbitmq } from "./rabbitmq.ts";
