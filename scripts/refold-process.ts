/**
 * A real Refold server as a child process, started by its own command line, for the demo and the benchmarks. State:
 * the running child. Nothing of Refold is imported: it is used from outside, as people use it.
 */

import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { root } from './steps.ts'

export interface RefoldProcess {
  readonly child: ChildProcess
  readonly port: number
  readonly url: string
  /** What it printed, for when it fails. */
  output(): string
  /** Resolves with the exit code or signal. */
  readonly ended: Promise<string>
}

/** Runs `refold start` on a project folder; does not wait until it answers. */
export function startRefold(folder: string, port: number, data?: string): RefoldProcess {
  const args = ['start', '--project', folder, '--port', String(port)]
  if (data !== undefined) args.push('--data', data)
  const child = spawnRefold(folder, args, {})
  let output = ''
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString('utf8')).slice(-20_000)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? String(code)))
    child.once('error', (error) => resolve(error.message))
  })
  return { child, port, url: `http://127.0.0.1:${port}`, output: () => output, ended }
}

/**
 * The command itself, in a project's folder. REFOLD_MAIN names another entry than the source's, such as
 * `dist/cli/main.js` after a build.
 */
function spawnRefold(
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): ChildProcessByStdio<null, Readable, Readable> {
  const main = path.resolve(root, process.env['REFOLD_MAIN'] ?? 'src/cli/main.ts')
  const child = spawn(process.execPath, [main, ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', ...env },
  })
  // Whatever ends this process, Ctrl-C included, takes the child along.
  const orphan = () => child.kill('SIGKILL')
  process.once('exit', orphan)
  child.once('exit', () => process.off('exit', orphan))
  return child
}

export interface CommandEnd {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs one command to its end against the server at `url`; `line` gets each line of its stdout as it comes. */
export async function runRefold(
  folder: string,
  url: string,
  args: readonly string[],
  line?: (text: string) => void,
): Promise<CommandEnd> {
  const child = spawnRefold(folder, args, { REFOLD_URL: url })
  let stdout = ''
  let stderr = ''
  let seen = 0
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk
    for (let end = stdout.indexOf('\n', seen); end >= 0; end = stdout.indexOf('\n', seen)) {
      line?.(stdout.slice(seen, end))
      seen = end + 1
    }
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk
  })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('close', resolve)
    child.once('error', reject)
  })
  return { code, stdout, stderr }
}

/** Resolves once a real query is answered; throws with the server's own words when it ends before, or never answers. */
export async function untilReady(refold: RefoldProcess, timeoutMs = 60_000): Promise<void> {
  const giveUpMs = performance.now() + timeoutMs
  let over: string | undefined
  void refold.ended.then((reason) => {
    over = reason
  })
  for (;;) {
    const ready = await fetch(`${refold.url}/readyz`).then(
      (response) => response.ok,
      () => false,
    )
    if (ready) return
    if (over !== undefined) throw new Error(`the server ended (${over}):\n${refold.output()}`)
    if (performance.now() > giveUpMs) throw new Error(`the server does not answer:\n${refold.output()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Ends it gently, and after ten seconds not so. */
export async function stopRefold(refold: RefoldProcess): Promise<void> {
  refold.child.kill('SIGTERM')
  const timer = setTimeout(() => refold.child.kill('SIGKILL'), 10_000)
  await refold.ended
  clearTimeout(timer)
}

export async function killRefold(refold: RefoldProcess): Promise<void> {
  refold.child.kill('SIGKILL')
  await refold.ended
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

export interface Usage {
  /** CPU seconds that the process and its children have used, those that have ended included. */
  readonly cpuSeconds: number
  readonly residentBytes: number
  readonly pids: readonly number[]
}

/** What a process and all its descendants use; from /proc, so on Linux only. */
export function usageOf(pid: number): Usage {
  const tree = [pid, ...descendantsOf(pid)]
  let ticks = 0
  let pages = 0
  for (const one of tree) {
    const fields = statOf(one)
    // User and system time, its own and that of children that have ended.
    for (const field of [11, 12, 13, 14]) ticks += Number(fields?.[field] ?? 0)
    pages += Number(fields?.[21] ?? 0)
  }
  return { cpuSeconds: ticks / 100, residentBytes: pages * 4096, pids: tree }
}

export function descendantsOf(pid: number): readonly number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const parent = Number(statOf(Number(name))?.[1])
    children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const found: number[] = []
  const visit = (parent: number) => {
    for (const child of children.get(parent) ?? []) {
      found.push(child)
      visit(child)
    }
  }
  visit(pid)
  return found
}

/** The command line of a process, empty when it has gone. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}

/** Fields of /proc/PID/stat after the name: state, parent, …; undefined when the process has gone. */
function statOf(pid: number): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}
