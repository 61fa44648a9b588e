/** Runs asynchronous tasks one after the other, in the order they were given. State: the last task's promise. */

export class Serial {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs `task` after all earlier ones have settled; its outcome is the returned promise's. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task, task)
    this.#last = result.catch(() => {})
    return result
  }
}
