using System;
using System.IO;
using System.Runtime.InteropServices;

namespace Inlay
{
    /// <summary>A stream behind the C tables that save and load, and what it threw last.</summary>
    internal sealed unsafe class StreamHost
    {
        private readonly Stream stream;
        private byte[] buffer = new byte[1 << 16];
        public Exception Failure;

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate int WriteFn(IntPtr userData, byte* data, UIntPtr bytes);
        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate int ReadFn(IntPtr userData, byte* destination, UIntPtr bytes);
        private static readonly WriteFn OnWrite = WriteAll;
        private static readonly ReadFn OnRead = ReadAll;

        private StreamHost(Stream stream) { this.stream = stream; }

        /// <summary>Hands an inlay_writer to `save`.</summary>
        public static void Write(Stream to, Action<IntPtr, StreamHost> save)
        {
            With(to, (self, host) =>
            {
                var table = new inlay_writer { struct_size = (uint)sizeof(inlay_writer), user_data = self };
                table.write = Marshal.GetFunctionPointerForDelegate(OnWrite);
                save((IntPtr)(&table), host);
            });
        }

        /// <summary>Hands an inlay_reader to `load`.</summary>
        public static void Read(Stream from, Action<IntPtr, StreamHost> load)
        {
            With(from, (self, host) =>
            {
                var table = new inlay_reader { struct_size = (uint)sizeof(inlay_reader), user_data = self };
                table.read = Marshal.GetFunctionPointerForDelegate(OnRead);
                load((IntPtr)(&table), host);
            });
        }

        private static void With(Stream stream, Action<IntPtr, StreamHost> work)
        {
            if (stream == null) throw new ArgumentNullException(nameof(stream));
            var host = new StreamHost(stream);
            GCHandle self = GCHandle.Alloc(host);
            try
            {
                work(GCHandle.ToIntPtr(self), host);
            }
            finally
            {
                self.Free();
            }
        }

        [MonoPInvokeCallback(typeof(WriteFn))]
        private static int WriteAll(IntPtr userData, byte* data, UIntPtr bytes)
        {
            var host = (StreamHost)GCHandle.FromIntPtr(userData).Target;
            try
            {
                for (int left = (int)bytes; left > 0;)
                {
                    int count = Math.Min(left, host.buffer.Length);
                    Marshal.Copy((IntPtr)data, host.buffer, 0, count);
                    host.stream.Write(host.buffer, 0, count);
                    data += count;
                    left -= count;
                }
                return C.INLAY_OK;
            }
            catch (Exception thrown)
            {
                host.Failure = thrown;
                return C.INLAY_ERROR_CALLBACK;
            }
        }

        [MonoPInvokeCallback(typeof(ReadFn))]
        private static int ReadAll(IntPtr userData, byte* destination, UIntPtr bytes)
        {
            var host = (StreamHost)GCHandle.FromIntPtr(userData).Target;
            try
            {
                for (int left = (int)bytes; left > 0;)
                {
                    int count = host.stream.Read(host.buffer, 0, Math.Min(left, host.buffer.Length));
                    if (count <= 0) throw new EndOfStreamException();
                    Marshal.Copy(host.buffer, 0, (IntPtr)destination, count);
                    destination += count;
                    left -= count;
                }
                return C.INLAY_OK;
            }
            catch (Exception thrown)
            {
                host.Failure = thrown;
                return C.INLAY_ERROR_CALLBACK;
            }
        }
    }
}
