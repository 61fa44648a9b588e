/** Connections for reads: each serves one statement at a time and is used again. State: the idle ones. */

import type { DuckDBConnection } from '@duckdb/node-api'

export class ConnectionPool {
  readonly #connect: () => Promise<DuckDBConnection>
  readonly #idle: DuckDBConnection[] = []

  constructor(connect: () => Promise<DuckDBConnection>) {
    this.#connect = connect
  }

  async use<T>(task: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    const connection = this.#idle.pop() ?? (await this.#connect())
    try {
      return await task(connection)
    } finally {
      this.#idle.push(connection)
    }
  }
}
