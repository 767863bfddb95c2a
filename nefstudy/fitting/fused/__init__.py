"""One GPU program takes one field through all its steps (Triton); for SIREN, RFFNet and MFN of up to 64 units.

`engine.py` is what a fit calls, `plan.py` says which fields fit and in what tiles, `blocks.py` how a flat row falls
into vectors and matrices, `launch.py` sends points and starts kernels. The kernel is `kernel.py` (steps, update) with a
file for each field (`siren.py`, `rffnet.py`, `mfn.py`: forward and backward over one tile of points) and their parts
(`linear.py`, `product.py`, `waves.py`). Triton is imported when the engine is looked at, kernels when one is called.

What lies where. Gradients and a tile's activations are in registers; the step's matrices, split for products, in shared
memory. Between steps, rows and moments lie in the L2 cache: one or two programs on each of 132 processors with three
rows of 5 to 18 kB, under 10 MB of 50 MB, of which a step moves about seven rows (130 GB/s for digits, a few per cent of
what L2 can). Fields of more than 64 units, of more than 4 channels, and an RFFNet of one layer go to another engine,
with the reason (`plan.misfit`). Coordinates are read, not generated: all programs share one grid of 6 kB, which stays
in the L1 cache, and are then the very bits that eager uses. Points drawn anew each step are drawn on the CPU, as for
every engine, and sent many steps at a time; that drawing, not the device, then sets the pace. So does the look on
the CPU every ten steps that `stop_psnr` asks for.

What is the same to the bit: a program sees one field and one order of operations, and states pass between launches
whole, so that chunk, lane, neighbours and rungs on the way reach no byte (tested under the interpreter). Step sizes
with Adam's corrections come from the function that eager uses. A device's bytes are its own: class of device, way of
products and version of Triton are in the fingerprint. There is one precision: factors split in two tf32 parts, three
products (`product.py`), and sines by polynomials (`waves.py`), both erring about as float32 does. The special-function
units (16 a clock) serve the cross-entropy's exponentials alone.

What to expect. **Derived, not measured**: no device was at hand. Instructions are counted in the machine code that
ptxas makes for compute capability 9.0 (Triton 3.9), for 132 processors at 1.755 GHz that issue 4 warp instructions a
clock; float32 67 TFLOP/s, tf32 495 in one product, 165 in three. All for 60,000 fields x 1,000 steps: seconds that the
operations take at float32's peak, at 40 % of it, in three tf32 products; seconds in which all instructions can be
issued at the very best; and the share of that best which 40 % of float32's peak needs.

    case                  TFLOP  float32    40 %  3 x tf32  instructions a tile  tiles   issue   share needed
    SIREN h32 28x28x1       316    4.7 s  11.8 s     1.9 s                8,112     13   7.3 s           62 %
    SIREN h64 32x32x3     1,628   24.3 s  60.7 s     9.9 s               12,080     32    26 s           43 %
    MFN h32 28x28x1         948   14.2 s  35.4 s     5.7 s               27,744     13    25 s           70 %
    RFFNet h32 28x28x1    1,174   17.5 s  43.8 s     7.1 s               15,244     13    14 s           31 %

Neither memory nor matrix products bind, but the issue of instructions: for a tile of 64 points, a SIREN of 32 units
takes 2,028 clocks of issue, against about 1,150 of tensor cores, 1,000 of shared memory and 1,000 of integer units (and
1,536 if its products were float32 multiply-adds). Sines are a third of it. Two programs of 4 warps share a processor
(255 registers a thread), h64 has it for itself with 8 warps; so few warps hide latencies badly, and half of the issue
rate is a fair guess: 15 s for digits with h32. At that guess h32 misses 40 % of float32's peak, h64 and RFFNet reach
it; 40 % of the three products' own peak is out of reach. MFN and RFFNet spill registers to the L1 cache (STACK in
`cuobjdump -res-usage`), which is where to begin.

Measure it where there is a device: `nefstudy bench fit --engine fused --json`.
"""
