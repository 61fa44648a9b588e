/**
 * A double of the file system for tests: it lives in memory, fails any call it is told to fail, and can lose power.
 * State: what programs see (the cache) and what is on the disk, with the changes between the two.
 *
 * What it models, stricter than most disks: a write reaches the disk at the next sync of its file, or at a power
 * loss wholly, in part (any run of its bytes) or not at all, whatever happened to other writes. A name reaches its
 * folder at the next sync of the folder, or at a power loss perhaps. After a sync that failed, each of its writes
 * reached the disk or did not, no later sync makes up for it, and reading still shows them all.
 */

import { dirname } from 'node:path'
import type { FileHandle, Files } from './files.ts'

export type EffectKind =
  | 'open'
  | 'write'
  | 'read'
  | 'truncate'
  | 'datasync'
  | 'readFile'
  | 'readdir'
  | 'mkdir'
  | 'rename'
  | 'unlink'
  | 'syncDir'

export interface Effect {
  readonly kind: EffectKind
  readonly path: string
}

/** An error with this name, after `bytes` of a write were taken; or only a write that takes no more than `bytes`. */
export type Fault =
  | { readonly kind: 'error'; readonly errno: string; readonly bytes?: number }
  | { readonly kind: 'short'; readonly bytes: number }

/** Answers a number in [0, count): where the double has a choice. */
export type Choose = (count: number) => number

type Change =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly length: number }

interface Inode {
  cache: Buffer
  disk: Buffer
  pending: Change[]
}

type NameChange = { readonly path: string; readonly inode: Inode | undefined }

export class FaultyFiles implements Files {
  /** Asked before every effect. */
  fault: (effect: Effect) => Fault | undefined = () => undefined
  readonly #choose: Choose
  readonly #names = new Map<string, Inode>()
  readonly #diskNames = new Map<string, Inode>()
  #pendingNames: NameChange[] = []
  readonly #folders = new Set<string>()
  #isCrashed = false
  #onCrash: () => void = () => {}
  /** Resolves when `crash` is called. */
  readonly crashed: Promise<void>

  constructor(choose: Choose) {
    this.#choose = choose
    this.crashed = new Promise((resolve) => {
      this.#onCrash = resolve
    })
  }

  /** From now on no call ever returns. */
  crash(): void {
    this.#isCrashed = true
    this.#onCrash()
  }

  /** What another process finds after this one was killed. */
  afterKill(): FaultyFiles {
    return this.#copy(this.#names, (inode) => inode)
  }

  /** What is found after power was lost: unsynced changes are there, partly there, or not. */
  afterPowerLoss(): FaultyFiles {
    for (const change of this.#pendingNames) {
      if (this.#choose(2) === 0) applyName(this.#diskNames, change)
    }
    return this.#copy(this.#diskNames, (inode) => {
      for (const change of inode.pending) this.#applyInPart(inode, change)
      return { cache: Buffer.from(inode.disk), disk: inode.disk, pending: [] }
    })
  }

  #copy(names: ReadonlyMap<string, Inode>, inodeOf: (inode: Inode) => Inode): FaultyFiles {
    const next = new FaultyFiles(this.#choose)
    for (const folder of this.#folders) next.#folders.add(folder)
    for (const [path, inode] of names) next.#names.set(path, inodeOf(inode))
    const isPowerLoss = names === this.#diskNames
    for (const [path, inode] of isPowerLoss ? next.#names : this.#diskNames) next.#diskNames.set(path, inode)
    if (!isPowerLoss) next.#pendingNames = [...this.#pendingNames]
    return next
  }

  async open(path: string, mode: 'read' | 'write' | 'create'): Promise<FileHandle> {
    await this.#effect('open', path)
    let inode = this.#names.get(path)
    if (inode === undefined) {
      if (mode !== 'create') throw failure('ENOENT', path)
      inode = { cache: Buffer.alloc(0), disk: Buffer.alloc(0), pending: [] }
      this.#setName({ path, inode })
    } else if (mode === 'create') {
      this.#change(inode, { kind: 'truncate', length: 0 })
    }
    return this.#handle(path, inode)
  }

  async readFile(path: string): Promise<Buffer> {
    await this.#effect('readFile', path)
    const inode = this.#names.get(path)
    if (inode === undefined) throw failure('ENOENT', path)
    return Buffer.from(inode.cache)
  }

  async readdir(path: string): Promise<readonly string[]> {
    await this.#effect('readdir', path)
    const inside = [...this.#names.keys()].filter((name) => dirname(name) === path)
    return inside.map((name) => name.slice(path.length + 1)).sort()
  }

  async mkdir(path: string): Promise<void> {
    await this.#effect('mkdir', path)
    this.#folders.add(path)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#effect('rename', from)
    const inode = this.#names.get(from)
    if (inode === undefined) throw failure('ENOENT', from)
    this.#setName({ path: to, inode })
    this.#setName({ path: from, inode: undefined })
  }

  async unlink(path: string): Promise<void> {
    await this.#effect('unlink', path)
    if (!this.#names.has(path)) throw failure('ENOENT', path)
    this.#setName({ path, inode: undefined })
  }

  async syncDir(path: string): Promise<void> {
    await this.#effect('syncDir', path)
    const isInside = (change: NameChange) => dirname(change.path) === path
    for (const change of this.#pendingNames.filter(isInside)) applyName(this.#diskNames, change)
    this.#pendingNames = this.#pendingNames.filter((change) => !isInside(change))
  }

  async size(path: string): Promise<number | undefined> {
    if (this.#isCrashed) await forEver()
    return this.#names.get(path)?.cache.byteLength
  }

  /** What programs see, for tests that look at files or damage them. */
  contents(path: string): Buffer | undefined {
    const inode = this.#names.get(path)
    return inode === undefined ? undefined : Buffer.from(inode.cache)
  }

  /** Puts a file there, on the disk at once. */
  place(path: string, bytes: Buffer): void {
    const inode = { cache: Buffer.from(bytes), disk: Buffer.from(bytes), pending: [] }
    this.#names.set(path, inode)
    this.#diskNames.set(path, inode)
    // A name that waited for its folder's sync meant the file that was there before.
    this.#pendingNames = this.#pendingNames.filter((change) => change.path !== path)
  }

  paths(): readonly string[] {
    return [...this.#names.keys()].sort()
  }

  #handle(path: string, inode: Inode): FileHandle {
    return {
      write: async (buffers, position) => {
        const fault = await this.#effect('write', path, true)
        const whole = Buffer.concat(buffers)
        const taken = fault === undefined ? whole : whole.subarray(0, fault.bytes ?? 0)
        if (taken.byteLength > 0) {
          this.#change(inode, { kind: 'write', position, bytes: Buffer.from(taken) })
        }
        if (fault?.kind === 'error') throw failure(fault.errno, path)
        return taken.byteLength
      },
      read: async (buffer, position) => {
        await this.#effect('read', path)
        return inode.cache.copy(buffer, 0, position, position + buffer.byteLength)
      },
      truncate: async (length) => {
        await this.#effect('truncate', path)
        this.#change(inode, { kind: 'truncate', length })
      },
      datasync: async () => {
        try {
          await this.#effect('datasync', path)
        } catch (error) {
          for (const change of inode.pending) this.#applyInPart(inode, change)
          inode.pending = []
          throw error
        }
        for (const change of inode.pending) inode.disk = applied(inode.disk, change)
        inode.pending = []
      },
      size: async () => inode.cache.byteLength,
      close: async () => {
        if (this.#isCrashed) await forEver()
      },
    }
  }

  async #effect(kind: EffectKind, path: string, isWrite = false): Promise<Fault | undefined> {
    if (this.#isCrashed) await forEver()
    await Promise.resolve()
    if (this.#isCrashed) await forEver()
    const fault = this.fault({ kind, path })
    if (fault === undefined || isWrite) return fault
    if (fault.kind === 'error') throw failure(fault.errno, path)
    return undefined
  }

  #setName(change: NameChange): void {
    applyName(this.#names, change)
    this.#pendingNames.push(change)
  }

  #change(inode: Inode, change: Change): void {
    inode.cache = applied(inode.cache, change)
    inode.pending.push(change)
  }

  #applyInPart(inode: Inode, change: Change): void {
    const choice = this.#choose(4)
    if (choice === 0) return
    if (choice === 1 || change.kind === 'truncate') {
      inode.disk = applied(inode.disk, change)
      return
    }
    const length = change.bytes.byteLength
    const from = choice === 2 ? 0 : this.#choose(length + 1)
    const bytes = change.bytes.subarray(from, from + this.#choose(length - from + 1))
    if (bytes.byteLength === 0) return
    inode.disk = applied(inode.disk, { kind: 'write', position: change.position + from, bytes })
  }
}

function applyName(names: Map<string, Inode>, { path, inode }: NameChange): void {
  if (inode === undefined) names.delete(path)
  else names.set(path, inode)
}

function applied(content: Buffer, change: Change): Buffer {
  if (change.kind === 'truncate') {
    const cut = Buffer.alloc(change.length)
    content.copy(cut, 0, 0, change.length)
    return cut
  }
  const { position, bytes } = change
  const grown = Buffer.alloc(Math.max(content.byteLength, position + bytes.byteLength))
  content.copy(grown)
  bytes.copy(grown, position)
  return grown
}

function failure(errno: string, path: string): Error {
  return Object.assign(new Error(`${errno}: ${path}`), { code: errno })
}

function forEver(): Promise<never> {
  return new Promise(() => {})
}
