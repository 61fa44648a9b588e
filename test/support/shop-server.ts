/**
 * For tests: a small shop's server, whole and in this process, with real engines and workers, in a folder of its own.
 * State: the folder, the server of the moment, and what was sent, from which a test counts what it expects by itself.
 */

import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProjectDef, ViewDef } from '../../src/define/types.ts'
import type { DeployInfo, DeployOptions } from '../../src/deploy/types.ts'
import type { PreparedEvent } from '../../src/log/types.ts'
import type { FieldType } from '../../src/model/schema.ts'
import { openServer, type RunningServer, type ServerOptions } from '../../src/server/open-server.ts'

export interface Sale {
  readonly id: string
  readonly user: string
  readonly cents: number
  /** Of its commit. */
  readonly cut: number
}

export type Row = Readonly<Record<string, unknown>>

export class ShopServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'refold-shop-'))
  readonly sent: Sale[] = []
  #server: RunningServer | undefined
  #nextId = 0

  get server(): RunningServer {
    assert.ok(this.#server !== undefined, 'the server runs')
    return this.#server
  }

  /** As `refold start` does, unless `options` say otherwise. */
  async open(project: ProjectDef, options: ServerOptions = {}): Promise<void> {
    this.#server = await openServer(project, { http: false, views: 'deployed', ...options })
  }

  async close(): Promise<void> {
    await this.#server?.close()
    this.#server = undefined
  }

  async dispose(): Promise<void> {
    await this.close()
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  }

  /** Sends new sales as one commit; answers its cut. */
  async send(count: number): Promise<number> {
    const sales = Array.from({ length: count }, () => {
      const id = this.#nextId++
      return { id: `s${id}`, user: `u${id % 13}`, cents: (id * 37) % 1000 }
    })
    const events = sales.map((sale, index): PreparedEvent => {
      const amount = money(sale.cents)
      const at = '2024-05-01T10:00:00Z'
      const json = JSON.stringify({ id: sale.id, user: sale.user, amount, at })
      return {
        stream: 'sales',
        partition: index % 2,
        json,
        timeUs: Date.parse(at) * 1000,
        id: sale.id,
        index,
      }
    })
    const append = { stream: 'sales', events, deadLetters: [], bytes: count * 100 }
    const { cut } = await this.server.core.append(append)
    this.sent.push(...sales.map((sale) => ({ ...sale, cut })))
    return cut
  }

  async rows(
    view: string,
    options: { readonly after?: number; readonly version?: string } = {},
  ): Promise<Row[]> {
    const { after, version } = options
    const read = { view, where: {}, order: [], limit: 10_000, ...(version === undefined ? {} : { version }) }
    const answer = await this.server.core.readView(read, after === undefined ? {} : { after })
    return JSON.parse(answer.json) as Row[]
  }

  /** Which version answers for a view. */
  async version(view: string): Promise<string> {
    const answer = await this.server.core.readView({ view, where: {}, order: [], limit: 1 }, {})
    return answer.versions[view] ?? ''
  }

  async status(): Promise<Record<string, never>> {
    return (await this.server.core.status()) as Record<string, never>
  }

  async sql(text: string): Promise<Row[]> {
    return JSON.parse((await this.server.core.sql({ sql: text, limit: 10_000 }, {})).json) as Row[]
  }

  /** Deploys and waits until it goes no further by itself. */
  async deploy(project: ProjectDef, options: Partial<DeployOptions> = {}): Promise<DeployInfo> {
    const { deploys } = this.server
    const { id } = await deploys.deploy(project, deployOptions(options), { who: 'tester', source: 'abc' })
    return await deploys.settled(id)
  }

  project(change: Partial<ProjectDef> = {}): ProjectDef {
    return shopProject(this.folder, change)
  }

  /** The data folder as a kill -9 at this moment would leave it. */
  copyOfData(name: string): string {
    const copy = join(this.folder, name)
    const filter = (path: string) => !/lock\.(sqlite|pid)|-shm$/.test(path)
    cpSync(join(this.folder, 'data'), copy, { recursive: true, filter })
    return copy
  }
}

/** Waits for a state that background work reaches by itself. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(10)
}

export function deployOptions(change: Partial<DeployOptions> = {}): DeployOptions {
  return {
    shadow: false,
    from: { kind: 'zero' },
    budget: { lagMs: 1_000 },
    warmMs: 3_600_000,
    autoRollback: { checks: true },
    ...change,
  }
}

export function money(cents: number): string {
  return `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`
}

export function shopView(name: string, sql: string, more: Partial<ViewDef> = {}): ViewDef {
  const sqlPlace = { file: `${name}.sql`, line: 1, column: 1 }
  return { name, sql, sqlPlace, run: { kind: 'kappa' }, onError: 'stall', ...more }
}

function field(name: string, type: FieldType) {
  return { name, type, optional: false, nullable: false }
}

function shopProject(folder: string, change: Partial<ProjectDef>): ProjectDef {
  const fields = [
    field('id', { kind: 'string' }),
    field('user', { kind: 'string' }),
    field('amount', { kind: 'decimal', precision: 18, scale: 2 }),
    field('at', { kind: 'timestamp' }),
  ]
  const schema = { kind: 'object', fields } as const
  const dedupe = { timeMs: 3_600_000, count: 1_000_000 }
  return {
    name: 'shop',
    root: folder,
    file: join(folder, 'refold.config.ts'),
    dataDir: join(folder, 'data'),
    streams: [
      { name: 'sales', schema, id: 'id', key: 'user', time: 'at', partitions: 2, dedupe, latenessMs: 0 },
    ],
    views: [],
    checks: [],
    server: { host: '127.0.0.1', port: 0 },
    engine: { memoryBytes: 512 << 20, threads: 2, statementTimeoutMs: 30_000, heavyStatements: 2 },
    seal: { rows: 1e9, bytes: 1e12, ageMs: 1e9 },
    history: { quickMs: 86_400_000, fineMs: 2_592_000_000 },
    limits: {
      eventBytes: 1 << 20,
      requestBytes: 1 << 25,
      expandedBytes: 1 << 28,
      depth: 64,
      requestEvents: 100_000,
      queueBytes: 64 << 20,
    },
    ...change,
  }
}
