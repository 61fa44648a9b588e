/**
 * Gathers the messages of one turn of the event loop into one message of the IPC channel: a write costs much more than
 * what is in it, and under load many lookups are asked and answered in the same turn. State: the waiting messages.
 */

export class Outbox<Message> {
  readonly #write: (messages: readonly Message[]) => void
  #waiting: Message[] = []

  constructor(write: (messages: readonly Message[]) => void) {
    this.#write = write
  }

  /** Order is kept. */
  send(message: Message): void {
    this.#waiting.push(message)
    if (this.#waiting.length === 1) setImmediate(() => this.flush())
  }

  /** Writes what waits now. */
  flush(): void {
    const messages = this.#waiting
    if (messages.length === 0) return
    this.#waiting = []
    this.#write(messages)
  }
}
