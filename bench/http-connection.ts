/**
 * One keep-alive HTTP/1.1 connection with at most one request in flight, written on a plain socket: the load
 * generator shares two cores with what it measures, so it must cost next to nothing. State: the bytes of the answer
 * that is arriving. It understands Content-Length and chunked bodies, which is all that a server may answer with.
 */

import { createConnection, type Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  /** Seconds from Retry-After, where given. */
  readonly retryAfter: number
  readonly body: string
}

interface Waiter {
  readonly resolve: (answer: RawAnswer) => void
  readonly reject: (error: Error) => void
}

const nothing = Buffer.alloc(0)

export class HttpConnection {
  readonly #socket: Socket
  #arrived: Buffer = nothing
  #waiter: Waiter | undefined
  #failed: Error | undefined

  constructor(port: number, host = '127.0.0.1') {
    this.#socket = createConnection({ port, host, noDelay: true })
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#socket.on('error', (error) => this.#fail(error))
    this.#socket.on('close', () => this.#fail(new Error('the server closed the connection')))
  }

  /** False once the connection is gone; servers close those that stay idle. */
  get alive(): boolean {
    return this.#failed === undefined
  }

  /** Sends a request head (ending in the empty line) and a body; resolves with the whole answer. */
  send(head: string, body: Buffer = nothing): Promise<RawAnswer> {
    if (this.#failed !== undefined) return Promise.reject(this.#failed)
    if (this.#waiter !== undefined)
      return Promise.reject(new Error('a request is in flight on this connection'))
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject }
      this.#socket.cork()
      this.#socket.write(head, 'latin1')
      if (body.length > 0) this.#socket.write(body)
      this.#socket.uncork()
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    this.#arrived = this.#arrived.length === 0 ? chunk : Buffer.concat([this.#arrived, chunk])
    const headEnd = this.#arrived.indexOf('\r\n\r\n')
    if (headEnd < 0) return
    const head = this.#arrived.toString('latin1', 0, headEnd).toLowerCase()
    const length = /content-length: *(\d+)/.exec(head)?.[1]
    const rest = this.#arrived.subarray(headEnd + 4)
    let body: string | undefined
    if (length !== undefined) {
      if (rest.length >= Number(length)) body = rest.toString('utf8', 0, Number(length))
    } else if (head.includes('transfer-encoding: chunked')) {
      if (rest.subarray(-5).toString('latin1') === '0\r\n\r\n') body = unchunk(rest)
    } else {
      body = ''
    }
    if (body === undefined) return
    this.#arrived = nothing
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.resolve({
      status: Number(head.slice(9, 12)),
      retryAfter: Number(/retry-after: *([\d.]+)/.exec(head)?.[1] ?? 0),
      body,
    })
  }

  #fail(error: Error): void {
    this.#failed ??= error
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.reject(error)
  }
}

function unchunk(bytes: Buffer): string {
  const parts: Buffer[] = []
  let at = 0
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
    if (size === 0) return Buffer.concat(parts).toString('utf8')
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = lineEnd + 2 + size + 2
  }
}

/** A living connection from a pool of idle ones, or a new one. */
export function takeConnection(idle: HttpConnection[], port: number): HttpConnection {
  for (let connection = idle.pop(); connection !== undefined; connection = idle.pop()) {
    if (connection.alive) return connection
  }
  return new HttpConnection(port)
}

export function getHead(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
}

export function postHead(path: string, type: string, length: number): string {
  return `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`
}
