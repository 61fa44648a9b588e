/** Admits at most `limit` tasks at a time; the others wait in order. State: the count and the queue. */

export class Semaphore {
  readonly #limit: number
  readonly #queue: (() => void)[] = []
  #running = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Runs `task` once a place is free. An aborted signal leaves the queue with the signal's reason. */
  async run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#running >= this.#limit) await this.#wait(signal)
    else this.#running++
    try {
      return await task()
    } finally {
      const next = this.#queue.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal?.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        const position = this.#queue.indexOf(enter)
        if (position >= 0) this.#queue.splice(position, 1)
        reject(signal?.reason)
      }
      if (signal?.aborted) return reject(signal.reason)
      this.#queue.push(enter)
      signal?.addEventListener('abort', leave, { once: true })
    })
  }
}
