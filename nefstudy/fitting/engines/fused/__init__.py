"""A GPU engine in Triton: one program computes all steps of one SIREN, RFFNet or MFN.

`engine.py` is what a fit calls. `plan.py` determines which fields are supported and their tiles, `blocks.py` how a flat
row divides into vectors and matrices, and `launch.py` sends points and launches kernels. The kernel is `kernel.py`
(steps, update), with one file per field (`siren.py`, `rffnet.py`, `mfn.py`: forward and backward pass over one tile of
points) and shared parts (`gradients.py`, `linear.py`, `product.py`, `sincos.py`). Triton is imported when the engine is
first examined, the kernels at the first call.

Memory. Gradients and a tile's activations are in registers; the step's matrices, split for products, are in shared
memory. Between steps, rows and moments are in the L2 cache: one or two programs on each of 132 processors with three
rows of 5 to 18 kB, under 10 MB of 50 MB, of which a step moves about seven rows (130 GB/s for digits, a few per cent of
L2's bandwidth). SIRENs and RFFNets of 65 to 128 units are wide: see below. An MFN of more than 64 units, other fields
of more than 128 units or more than 4 channels, and an RFFNet of one layer, use another engine, with the reason
(`plan.no_kernel_reason`). Coordinates are read rather than generated: all programs share one grid of 6 kB, which stays
in the L1 cache, and the coordinates are bit-equal to eager's. Points that change every step are drawn on the CPU, as
for every engine, and sent many steps at a time; drawing then limits the speed, not the device. So does the check of
`stop_psnr`, on the CPU every ten steps.

Equal bits. A program computes one field in one order of operations, and launches exchange whole states, so a field's
bytes do not depend on chunk, lane, neighboring fields or earlier rungs (tested under the interpreter). Step sizes with
Adam's corrections come from the function that eager uses. Bytes differ between classes of devices: the fingerprint has
the device class, the method of the products and the version of Triton. There is one precision: factors split into two
tf32 parts, three products (`product.py`), and sines by polynomials (`sincos.py`), both with errors like float32's. The
special-function units (16 per clock) compute only the cross-entropy's exponentials.

Expected speed. **Derived, not measured**, because no device was available. Instructions are counted in the machine code
that ptxas generates for compute capability 9.0 (Triton 3.9), for 132 processors at 1.755 GHz that issue 4 warp
instructions per clock; float32 67 TFLOP/s, tf32 495 in one product, 165 in three. All cases are 60,000 fields x 1,000
steps. Columns: seconds of the operations at float32's peak, at 40 % of it, and in three tf32 products; the minimum of
seconds to issue all instructions; and the share of that issue rate that 40 % of float32's peak requires.

    case                  TFLOP  float32    40 %  3 x tf32  instructions a tile  tiles   issue   share needed
    SIREN h32 28x28x1       316    4.7 s  11.8 s     1.9 s                8,112     13   7.3 s           62 %
    SIREN h64 32x32x3     1,628   24.3 s  60.7 s     9.9 s               12,080     32    26 s           43 %
    MFN h32 28x28x1         948   14.2 s  35.4 s     5.7 s               27,744     13    25 s           70 %
    RFFNet h32 28x28x1    1,174   17.5 s  43.8 s     7.1 s               15,244     13    14 s           31 %

The bottleneck is the issue of instructions, not memory or matrix products: for a tile of 64 points, a SIREN of 32 units
takes 2,028 clocks of issue, against about 1,150 of tensor cores, 1,000 of shared memory and 1,000 of integer units (and
1,536 if its products were float32 multiply-adds). Sines are a third of it. Two programs of 4 warps share a processor
(255 registers per thread); h64 uses a whole processor with 8 warps. So few warps hide latency poorly, and half of the
issue rate is a reasonable guess: 15 s for digits with h32. If so, h32 misses 40 % of float32's peak, while h64
and RFFNet reach it; 40 % of the peak of three products is out of reach. MFN and RFFNet spill registers to the L1 cache
(STACK in `cuobjdump -res-usage`), which is the first thing to improve.

Wide fields (65 to 128 units, padded to 128). A split matrix takes 128 kB, so a processor holds one at a time. Each
product loads its matrix from global memory, and each tile of 32 points adds its gradients to a fourth row in global
memory, which is zero between steps. One program of 8 warps takes a processor, with 160 kB of shared memory (RFFNet: 128
kB); registers spill. Per tile and matrix, 256 kB are moved, 503 TB for the SIREN below: 91 s if L2 delivers 5.5 TB/s,
an assumption. The four rows of 132 SIRENs (36 MB) fit L2. The two rows that an RFFNet of 5 layers reads per tile (69
MB) do not; from a memory of 4.8 TB/s, its 1,570 TB take 330 s. **Derived, not measured**, as above:

    case                  TFLOP  float32    40 %  3 x tf32  instructions a tile  tiles   issue   share needed
    SIREN h128 32x32x3    6,276     94 s   234 s      38 s               34,720     32    74 s           32 %
    RFFNet h128 28x28x1  18,569    277 s   693 s     113 s               77,072     25   131 s           19 %

So memory is the bottleneck of wide fields, and twice these times, 180 s and 660 s, are a reasonable guess: no load
overlaps with the products before it. Tiles of 64 points would move half as much, but spill four times as much. The same
kernel is correct for MFN in the interpreter, but needs 360 kB of shared memory: Triton puts 15 constants of a tile's
size there, apparently because it computes the state again for the gradient's product.

To check and measure it on a device: `nefstudy bench gpu`.
"""
