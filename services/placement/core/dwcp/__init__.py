"""What NovaCron asks over HTTP, answered from what the world knows. Pure functions: a question and the world in.

The answers' fields and types are those that NovaCron's Go code reads, some of them by unchecked type assertions: every
answer is a struct whose every field has a value, and whose defaults are the answer when nothing is known. Formulas
stand with the functions; services/placement/README.md lists them.
"""
