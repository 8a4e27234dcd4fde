/** The model as the page sees it: calls that a worker answers. */
import type { Parts } from './load.ts';
import type { Answer, Calls } from './protocol.ts';

type Result<Name extends keyof Calls> = ReturnType<Calls[Name]>;

/** How many codes are decoded before a more urgent call gets its turn. */
const AT_A_TIME = 4;

export class Engine {
  private readonly ready: Promise<void>;
  private readonly worker: Worker;
  private readonly waiting = new Map<
    number,
    { resolve: (result: never) => void; reject: (error: Error) => void }
  >();
  private count = 0;

  constructor(parts: Promise<Parts | null>) {
    this.worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    this.ready = new Promise((resolve, reject) => {
      this.worker.addEventListener('error', (event) =>
        reject(new Error(event.message || 'the worker did not start')),
      );
      this.worker.addEventListener('message', ({ data }: MessageEvent<Answer>) => {
        if ('ready' in data) resolve();
        else if ('failed' in data) reject(new Error(data.failed));
        else this.settle(data);
      });
    });
    // Its script comes while the model does.
    parts.then((found) => found && this.worker.postMessage(found)).catch(() => undefined);
    this.ready.catch(() => undefined); // said by the first call
  }

  private settle(answer: { id: number; result: unknown } | { id: number; error: string }): void {
    const call = this.waiting.get(answer.id);
    this.waiting.delete(answer.id);
    if ('error' in answer) call?.reject(new Error(answer.error));
    else call?.resolve(answer.result as never);
  }

  async call<Name extends keyof Calls>(
    name: Name,
    ...values: Parameters<Calls[Name]>
  ): Promise<Result<Name>> {
    await this.ready;
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, call: name, values });
    });
  }

  /** Decode many codes of size `latentDim`, some at a time, and show each image as soon as it is there. */
  async decodeEach(
    latents: Float32Array,
    latentDim: number,
    show: (image: Float32Array, index: number) => void,
    current: () => boolean = () => true,
  ): Promise<void> {
    const count = latents.length / latentDim;
    for (let start = 0; start < count && current(); start += AT_A_TIME) {
      const end = Math.min(count, start + AT_A_TIME);
      const pixels = await this.call('decode', latents.slice(start * latentDim, end * latentDim));
      if (!current()) return;
      const size = pixels.length / (end - start);
      for (let i = start; i < end; i++) show(pixels.subarray((i - start) * size, (i - start + 1) * size), i);
    }
  }
}

/** Does one thing at a time, and of those that wait only the latest. */
export class Latest<Value> {
  private readonly work: (value: Value) => Promise<void>;
  private next: { value: Value } | null = null;
  private busy = false;

  constructor(work: (value: Value) => Promise<void>) {
    this.work = work;
  }

  push(value: Value): void {
    this.next = { value };
    if (!this.busy) void this.run();
  }

  private async run(): Promise<void> {
    this.busy = true;
    try {
      while (this.next) {
        const { value } = this.next;
        this.next = null;
        await this.work(value);
      }
    } finally {
      this.busy = false;
    }
  }
}
