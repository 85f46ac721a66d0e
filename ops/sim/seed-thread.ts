/** A thread that runs seeds, one after the other, as they are given to it. */
import { parentPort, workerData } from 'node:worker_threads';
import { runSeed } from './run-seed.ts';
import { createSimWorld, type SimSettings } from './world.ts';

const port = parentPort;
if (port === null) {
  throw new Error('this file is the body of a thread');
}
const world = await createSimWorld(workerData as SimSettings);
port.on('message', (seed: number) => {
  void runSeed(world, seed).then((report) => port.postMessage(report));
});
port.postMessage('ready');
