/**
 * For tests: runs a command line inside the test's process with its own folder, environment and captured output, and
 * a server to talk to that only remembers. No state beside what a test holds.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable, Writable } from 'node:stream'
import { gunzipSync } from 'node:zlib'
import { runCli } from './program.ts'
import { openTerminal } from './terminal.ts'

export interface RanCommand {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface CommandSurroundings {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string
  /** Pretends that stdout and stderr are terminals of this width. */
  readonly columns?: number
  /** Called with a function that asks the command to stop, as Ctrl-C does. */
  readonly onStart?: (stop: () => void) => void
}

export async function runCommand(
  args: readonly string[],
  surroundings: CommandSurroundings = {},
): Promise<RanCommand> {
  const out = captured(surroundings.columns)
  const err = captured(surroundings.columns)
  const env = surroundings.env ?? {}
  const stoppers = new Set<() => void>()
  surroundings.onStart?.(() => {
    for (const stop of stoppers) stop()
  })
  const code = await runCli(args, {
    terminal: openTerminal(out.stream, err.stream, env),
    env,
    cwd: surroundings.cwd ?? process.cwd(),
    stdin: Readable.from(surroundings.stdin === undefined ? [] : [Buffer.from(surroundings.stdin)]),
    onStop(listener) {
      stoppers.add(listener)
      return () => void stoppers.delete(listener)
    },
    exitCode: 0,
  })
  return { code, out: out.text(), err: err.text() }
}

export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface Reply {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
  /** Cuts the connection instead of answering. */
  readonly cut?: boolean
}

export interface ListeningFake {
  readonly url: string
  readonly seen: readonly SeenRequest[]
  close(): Promise<void>
}

/** A server that gives to each request what `answer` says. */
export async function listenFake(
  answer: (request: SeenRequest) => Reply | Promise<Reply>,
): Promise<ListeningFake> {
  const seen: SeenRequest[] = []
  const server = createServer((request, response) => {
    void handle(request, response)
  })
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const raw = Buffer.concat(parts)
    const url = new URL(request.url ?? '/', 'http://fake')
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw
    const one = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body: body.toString('utf8'),
    }
    seen.push(one)
    const reply = await answer(one)
    if (reply.cut === true) {
      request.socket.destroy()
      return
    }
    response.writeHead(reply.status ?? 200, { 'content-type': 'application/json', ...reply.headers })
    response.end(reply.body)
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async close() {
      if (!server.listening) return
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function captured(columns: number | undefined): { readonly stream: Writable; text(): string } {
  const parts: string[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      parts.push(chunk.toString('utf8'))
      done()
    },
  })
  if (columns !== undefined) Object.assign(stream, { isTTY: true, columns })
  return { stream, text: () => parts.join('') }
}
