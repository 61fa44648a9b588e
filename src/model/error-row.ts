/** The shape of a row of the error table. A type and a function that makes one. */

export interface ErrorRow {
  /** HTTP status when the error reaches the edge. */
  readonly status: number
  /** Whether sending the same again later may succeed. */
  readonly retryable: boolean
  /** What it means, one sentence, for the catalogue. */
  readonly meaning: string
  /** What to do, best a command. */
  readonly hint: string
}

export function row(status: number, retryable: boolean, meaning: string, hint: string): ErrorRow {
  return { status, retryable, meaning, hint }
}
